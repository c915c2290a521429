/**
 * @file Compiles src/ into a folder of plain JavaScript with declarations: `node scripts/build.mjs [FOLDER]`, default dist.
 * With --no-check, types are not checked, which takes half the time.
 * The compiler rewrites `./x.ts` to `./x.js` in code but not in declarations, and a program that type-checks against
 * declarations without `allowImportingTsExtensions` would refuse them; so they are rewritten here.
 */
import { rmSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const configFile = fileURLToPath(new URL("../tsconfig.build.json", import.meta.url));
const root = dirname(configFile);
const isChecked = !process.argv.includes("--no-check");
const outDir = resolve(process.argv.slice(2).find((word) => !word.startsWith("--")) ?? resolve(root, "dist"));

const host = { getCanonicalFileName: (name) => name, getCurrentDirectory: () => root, getNewLine: () => "\n" };
const { config, error } = ts.readConfigFile(configFile, ts.sys.readFile);
const parsed = ts.parseJsonConfigFileContent(config, ts.sys, root, { outDir, noCheck: !isChecked });
const program = ts.createProgram(parsed.fileNames, parsed.options);

rmSync(outDir, { recursive: true, force: true }); // a file that was renamed would otherwise stay
const { diagnostics } = program.emit(undefined, (file, text, byteOrderMark) =>
  ts.sys.writeFile(file, file.endsWith(".d.ts") ? withJsExtensions(text) : text, byteOrderMark),
);
const found = isChecked ? ts.getPreEmitDiagnostics(program) : [];
const faults = [...(error ? [error] : []), ...parsed.errors, ...found, ...diagnostics];
if (faults.length > 0) {
  console.error(ts.formatDiagnostics(faults, host));
  process.exitCode = 1;
}

function withJsExtensions(declarations) {
  return declarations.replace(/(\b(?:from|import)\s*\(?\s*"\.{1,2}\/[^"]*)\.ts"/g, '$1.js"');
}
