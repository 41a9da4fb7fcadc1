import { read } from "./sources.ts"

interface ErrorTable {
  readonly exits: Readonly<Record<string, string>>
  readonly classes: Readonly<Record<string, string>>
  readonly codes: Readonly<
    Record<
      string,
      { readonly class: string; readonly http: number; readonly exit: number; readonly meaning: string }
    >
  >
}

/** The reference of the error codes, in Markdown, out of their table. */
export async function errorsDocument(): Promise<string> {
  const { exits, classes, codes } = JSON.parse(await read("spec/errors.json")) as ErrorTable
  const rows = Object.entries(codes).map(
    ([code, { class: of, http, exit, meaning }]) =>
      `| \`${code}\` | ${of} | ${http === 0 ? "" : http} | ${exit} | ${meaning.replaceAll("|", "\\|")} |`,
  )
  const list = (of: Readonly<Record<string, string>>) =>
    Object.entries(of).map(([name, says]) => `| ${name} | ${says} |`)
  return [
    "# Error codes",
    "",
    "Every error has one of these codes; how they are told is in [errors.md](../spec/errors.md).",
    "",
    "## Codes",
    "",
    "| code | class | HTTP | exit status | |",
    "| --- | --- | --- | --- | --- |",
    ...rows,
    "",
    "## Classes",
    "",
    "| class | |",
    "| --- | --- |",
    ...list(classes),
    "",
    "## Exit statuses",
    "",
    "| status | |",
    "| --- | --- |",
    ...list(exits),
    "",
  ].join("\n")
}
