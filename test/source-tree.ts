/** @file The source files and what each imports, for the tests of structure. */
import { readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import ts from "typescript";

export interface SourceFile {
  /** Relative to the folder that was read, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

const root = new URL("../", import.meta.url);

/** The TypeScript and JavaScript files below a folder of the repository. */
export function sourceFiles(folder: string): SourceFile[] {
  const base = new URL(`${folder}/`, root);
  return readdirSync(base, { recursive: true, encoding: "utf8" })
    .map((path) => path.replaceAll("\\", "/"))
    .filter((path) => /\.(tsx?|mjs)$/.test(path) && !/(^|\/)node_modules\//.test(path))
    .map((path) => ({ path, text: readFileSync(new URL(path, base), "utf8") }));
}

export const isTest = (path: string) => /\.test\.tsx?$/.test(path);

/** Everything a file loads: static and dynamic imports, re-exports, types, and workers by URL. */
export function importsOf({ path, text }: SourceFile): string[] {
  const urls = [...text.matchAll(/new URL\(\s*["'](\.[^"']+)["']\s*,\s*import\.meta\.url/g)]
    .map(([, url]) => url!)
    .filter((url) => !url.endsWith("/") && !posix.join(posix.dirname(path), url).startsWith("..")); // a folder, or data outside src/, is no module
  return [...ts.preProcessFile(text, true, true).importedFiles.map(({ fileName }) => fileName), ...urls];
}

/** Path of the file that a relative import means, relative to the same folder as `path`. */
export const targetOf = (path: string, specifier: string) => posix.join(posix.dirname(path), specifier);

/** Groups of files that import each other in a circle, types included; the paths of each group are sorted. */
export function circles(files: readonly SourceFile[]): string[][] {
  const known = new Set(files.map(({ path }) => path));
  const edges = new Map(
    files.map((file) => {
      const targets = importsOf(file)
        .filter((specifier) => specifier.startsWith("."))
        .map((specifier) => targetOf(file.path, specifier));
      return [file.path, targets.filter((target) => known.has(target))];
    }),
  );
  return stronglyConnected(edges).filter((group) => group.length > 1 || edges.get(group[0]!)!.includes(group[0]!));
}

/** Tarjan's algorithm. */
function stronglyConnected(edges: ReadonlyMap<string, readonly string[]>): string[][] {
  const order = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const groups: string[][] = [];
  const visit = (node: string) => {
    order.set(node, order.size);
    low.set(node, order.get(node)!);
    stack.push(node);
    for (const next of edges.get(node)!) {
      if (!order.has(next)) visit(next);
      if (stack.includes(next)) low.set(node, Math.min(low.get(node)!, low.get(next)!));
    }
    if (low.get(node) === order.get(node)) groups.push(stack.splice(stack.indexOf(node)).sort());
  };
  for (const node of edges.keys()) if (!order.has(node)) visit(node);
  return groups;
}

/** Functions with more lines than `most`, as "path:line, n lines". */
export function longFunctions({ path, text }: SourceFile, most: number): string[] {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const lineOf = (position: number) => source.getLineAndCharacterOfPosition(position).line;
  const found: string[] = [];
  const visit = (node: ts.Node) => {
    if (ts.isFunctionLike(node) && "body" in node && node.body) {
      const first = lineOf(node.getStart(source));
      const lines = lineOf(node.end) - first + 1;
      if (lines > most) found.push(`${path}:${first + 1}, ${lines} lines`);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}
