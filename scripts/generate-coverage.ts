import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { loadSuite } from "../packages/conformance/src/suite.ts"
import {
  ADAPTER_SOURCES,
  ADAPTERS,
  AGENT_SOURCES,
  AGENTS,
  BELIEVERS,
  BUILDERS,
  DECIDERS,
  FORGETFUL,
  IMPORTERS,
  NEIGHBOURS,
  OPERATORS,
  OWN_RUNTIMES,
  PACKERS,
  PULLERS,
  PUSHERS,
  RUNTIMES,
  STARTERS,
} from "../packages/conformance/test/mutants/table.ts"
import type { Requirement } from "./requirements.ts"

/** So many names of checks are written out for each requirement. */
const NAMED = 2

/**
 * The table of requirements and the checks of the conformance suite that cover them, from the requirements and the
 * suite itself. Path → content.
 */
export async function generatedCoverage(
  root: string,
  requirements: readonly Requirement[],
): Promise<Record<string, string>> {
  const suite = await loadSuite()
  const checks = new Map<string, string[]>()
  for (const { name, covers } of Object.values(suite).flat())
    for (const id of covers) checks.set(id, [...(checks.get(id) ?? []), name])
  const reasons = JSON.parse(
    await readFile(join(root, "packages/conformance/src/inspection.json"), "utf8"),
  ) as Record<string, string>
  const known = new Set(requirements.map(({ id }) => id))
  const unknown = [...checks.keys(), ...Object.keys(reasons)].filter((id) => !known.has(id))
  if (unknown.length > 0)
    throw new Error(`the conformance suite names ${unknown.join(", ")}, which no document has`)
  const musts = requirements.filter(({ level }) => level === "MUST")
  const covered = musts.filter(({ id }) => checks.has(id))
  const inspected = musts.filter(({ id }) => !checks.has(id) && reasons[id])
  const rows = musts.map(({ id, document, section }) => {
    const names = checks.get(id) ?? []
    const more = names.length > NAMED ? ` and ${names.length - NAMED} more` : ""
    const words =
      names.length > 0
        ? names
            .slice(0, NAMED)
            .map((name) => `\`${name}\``)
            .join(", ") + more
        : undefined
    const why = reasons[id] ? `by inspection: ${reasons[id]}` : "no check yet"
    return `| ${id} | [${section}](../../spec/${document}) | ${words ?? why} |`
  })
  return {
    "docs/conformance/faults.md": faultsPage(),
    "docs/conformance/coverage.md": [
      "# What the conformance suite covers",
      "",
      "Written by `make generate`: of each MUST of the specification the checks of `ovms-conformance` that cover it. A check covers a requirement if an implementation that breaks it in the way that the check looks for fails.",
      "",
      "| requirements | number |",
      "| --- | --- |",
      `| MUST and MUST NOT | ${musts.length} |`,
      `| with a check | ${covered.length} |`,
      `| by inspection, with the reason | ${inspected.length} |`,
      `| no check yet | ${musts.length - covered.length - inspected.length} |`,
      "",
      "| requirement | where | checks |",
      "| --- | --- | --- |",
      ...rows,
      "",
    ].join("\n"),
  }
}

/** What the suite was proved to see: the table of its mutants. */
function faultsPage(): string {
  const all = [
    ["reader and writer", FORGETFUL],
    ["puller", PULLERS],
    ["pusher", PUSHERS],
    ["reader and writer", [...BELIEVERS, ...PACKERS, ...IMPORTERS]],
    ["verifier with a policy", DECIDERS],
    ["builder", BUILDERS],
    ["runtime", RUNTIMES],
    ["runtime with a policy", OPERATORS],
    ["runtime of the suite's own", OWN_RUNTIMES],
    ["runtime that is started", STARTERS],
    ["runtime with networks", NEIGHBOURS],
    ["adapter", [...ADAPTERS, ...ADAPTER_SOURCES]],
    ["agent", [...AGENTS, ...AGENT_SOURCES]],
  ] as const
  const rows = all.flatMap(([who, mutants]) =>
    mutants.map(({ fault, requirement, check }) => `| ${who} | ${fault} | ${requirement} | \`${check}\` |`),
  )
  return [
    "# Faults that the conformance suite catches",
    "",
    `Written by \`make generate\`: ${rows.length} implementations that are wrong in one thing, each made when the tests run, and the check that has to fail for it (the first of that name which covers the requirement).`,
    "",
    "| who | what it does wrong | requirement | caught by |",
    "| --- | --- | --- | --- |",
    ...rows,
    "",
  ].join("\n")
}
