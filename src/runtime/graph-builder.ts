import { create, toBinary } from "@bufbuild/protobuf";
import {
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataType as DataType,
  type GraphProto,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  TensorProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from "onnx-buf";
import { POISON_OUTPUT } from "./onnx.ts";

export type ElementType = "float32" | "int32" | "int64" | "bool" | "int8" | "uint8";

/** An edge of the graph. All dimensions are dynamic; the host tracks shapes, the builder does not. */
export interface Value {
  readonly name: string;
  readonly type: ElementType;
}

export type Attribute = number | string | readonly number[] | { readonly float: number };

const dataTypes: Record<ElementType, DataType> = {
  float32: DataType.FLOAT,
  int32: DataType.INT32,
  int64: DataType.INT64,
  bool: DataType.BOOL,
  int8: DataType.INT8,
  uint8: DataType.UINT8,
};

/** Builds one ONNX model, node by node. Weights are inputs, so the model itself takes only a few kilobytes. */
export class GraphBuilder {
  readonly #graph: GraphProto = create(GraphProtoSchema, { name: "r1-searcher" });
  readonly #constants = new Map<string, Value>();
  #count = 0;

  /** @param rank number of dimensions, all dynamic */
  input(name: string, rank: number, type: ElementType = "float32"): Value {
    this.#graph.input.push(valueInfo(name, type, rank));
    return { name, type };
  }

  constant(
    values: readonly number[],
    shape: readonly number[],
    type: "float32" | "int32" | "int64" = "float32",
  ): Value {
    const key = `${type}:${shape.join("x")}:${values.join(",")}`;
    const known = this.#constants.get(key);
    if (known) return known;
    const value: Value = { name: `constant_${this.#constants.size}`, type };
    const data =
      type === "float32"
        ? Float32Array.from(values)
        : type === "int32"
          ? Int32Array.from(values)
          : BigInt64Array.from(values.map(BigInt));
    this.#graph.initializer.push(
      create(TensorProtoSchema, {
        name: value.name,
        dims: shape.map(BigInt),
        dataType: dataTypes[type],
        rawData: new Uint8Array(data.buffer),
      }),
    );
    this.#constants.set(key, value);
    return value;
  }

  /** A constant that the runtime may re-arrange once for its kernels; at most 2 GiB in all. */
  weights(name: string, data: Int8Array<ArrayBuffer>, shape: readonly number[]): Value {
    this.#graph.initializer.push(
      create(TensorProtoSchema, {
        name,
        dims: shape.map(BigInt),
        dataType: dataTypes.int8,
        rawData: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
      }),
    );
    return { name, type: "int8" };
  }

  scalar(value: number): Value {
    return this.constant([value], []);
  }

  /** Adds a node with several outputs. An omitted optional input is null. */
  nodes(
    op: string,
    inputs: readonly (Value | null)[],
    options: { outputs: readonly ElementType[]; attributes?: Readonly<Record<string, Attribute>>; domain?: string },
  ): Value[] {
    const outputs = options.outputs.map((type): Value => ({ name: `${op}_${this.#count++}`, type }));
    this.#graph.node.push(
      create(NodeProtoSchema, {
        opType: op,
        name: outputs[0]?.name ?? op,
        domain: options.domain ?? "",
        input: inputs.map((value) => value?.name ?? ""),
        output: outputs.map(({ name }) => name),
        attribute: Object.entries(options.attributes ?? {}).map(([name, value]) => attribute(name, value)),
      }),
    );
    return outputs;
  }

  /** Adds a node with one output, whose type is that of the first input unless given. */
  node(
    op: string,
    inputs: readonly (Value | null)[],
    attributes: Readonly<Record<string, Attribute>> = {},
    options: { type?: ElementType; domain?: string } = {},
  ): Value {
    const type = options.type ?? inputs[0]?.type ?? "float32";
    return this.nodes(op, inputs, {
      outputs: [type],
      attributes,
      ...(options.domain ? { domain: options.domain } : {}),
    })[0]!;
  }

  output(value: Value, name: string, rank: number): void {
    const named = this.nodesNamed("Identity", value, name);
    this.#graph.output.push(valueInfo(named.name, named.type, rank));
  }

  private nodesNamed(op: string, value: Value, name: string): Value {
    // renaming the producer's output would be shorter, but one value can be an output twice or also feed other nodes
    const producer = this.#graph.node.find((node) => node.output.includes(value.name));
    const consumed = this.#graph.node.some((node) => node.input.includes(value.name));
    if (producer && !consumed) {
      producer.output = producer.output.map((output) => (output === value.name ? name : output));
    } else {
      this.#graph.node.push(create(NodeProtoSchema, { opType: op, name, input: [value.name], output: [name] }));
    }
    return { name, type: value.type };
  }

  /** The serialised model. Its first output avoids a second copy of the results (see runtime/onnx.ts). */
  bytes(): Uint8Array {
    const seed = this.constant([0], [1]);
    this.#graph.node.push(
      create(NodeProtoSchema, {
        opType: "SequenceConstruct",
        name: POISON_OUTPUT,
        input: [seed.name],
        output: [POISON_OUTPUT],
      }),
    );
    this.#graph.output.unshift(sequenceInfo(POISON_OUTPUT));
    return toBinary(
      ModelProtoSchema,
      create(ModelProtoSchema, {
        irVersion: 10n,
        producerName: "r1-searcher",
        graph: this.#graph,
        opsetImport: [
          create(OperatorSetIdProtoSchema, { domain: "", version: 21n }),
          create(OperatorSetIdProtoSchema, { domain: "com.microsoft", version: 1n }),
        ],
      }),
    );
  }
}

function attribute(name: string, value: Attribute) {
  if (typeof value === "string") {
    return create(AttributeProtoSchema, { name, type: AttributeType.STRING, s: new TextEncoder().encode(value) });
  }
  if (typeof value === "number")
    return create(AttributeProtoSchema, { name, type: AttributeType.INT, i: BigInt(value) });
  if ("float" in value) return create(AttributeProtoSchema, { name, type: AttributeType.FLOAT, f: value.float });
  return create(AttributeProtoSchema, { name, type: AttributeType.INTS, ints: value.map(BigInt) });
}

function valueInfo(name: string, type: ElementType, rank: number): ValueInfoProto {
  const dim = Array.from({ length: rank }, (_, i) => ({ value: { case: "dimParam" as const, value: `${name}_${i}` } }));
  return create(ValueInfoProtoSchema, {
    name,
    type: { value: { case: "tensorType", value: { elemType: dataTypes[type], shape: { dim } } } },
  });
}

function sequenceInfo(name: string): ValueInfoProto {
  const elemType = { value: { case: "tensorType" as const, value: { elemType: DataType.FLOAT } } };
  return create(ValueInfoProtoSchema, { name, type: { value: { case: "sequenceType", value: { elemType } } } });
}
