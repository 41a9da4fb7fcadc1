import { expect, test } from "bun:test"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"

// What CI on a forge runs is what is there to be run.

const ROOT = join(import.meta.dir, "..")
const WORKFLOWS = join(ROOT, ".github/workflows")

interface Workflow {
  readonly jobs: Readonly<
    Record<
      string,
      {
        readonly strategy?: { readonly matrix: { readonly include: readonly Record<string, string>[] } }
        readonly env?: Readonly<Record<string, string>>
        readonly steps: readonly { readonly uses?: string; readonly run?: string }[]
      }
    >
  >
}

const read = (name: string) => Bun.YAML.parse(readFileSync(join(WORKFLOWS, name), "utf8")) as Workflow

function cells(): readonly Record<string, string>[] {
  return read("conformance.yml").jobs.cell?.strategy?.matrix.include ?? []
}

/** What a script says of a name that it does not know. */
function refusal(command: readonly string[], env: Readonly<Record<string, string>> = {}): string {
  const { exitCode, stderr } = Bun.spawnSync([...command], { cwd: ROOT, env: { ...process.env, ...env } })
  expect(exitCode).not.toBe(0)
  return stderr.toString()
}

test("each subject of the conformance suite has a cell, and each registry", () => {
  const subjects = new Set(cells().map(({ subject }) => subject))
  subjects.add(read("conformance.yml").jobs.firecracker?.env?.SUBJECT)
  const said = refusal(["scripts/conformance.sh"], { SUBJECT: "nobody" }).trim()
  expect(said.split(/there are |, | and /).slice(1)).toEqual([...subjects].map(String))

  const registries = cells().flatMap(({ registry }) => registry ?? [])
  const known = refusal(["node_modules/.bin/bun", "scripts/conformance-registries.ts", "nobody"]).trim()
  expect(known.split(/there are |, /).slice(1)).toEqual(registries)
})

test("what a workflow takes from elsewhere is named by its commit, and each make has such a rule", () => {
  const rules = new Set(readFileSync(join(ROOT, "Makefile"), "utf8").match(/^[a-z-]+(?=:)/gm))
  for (const name of readdirSync(WORKFLOWS))
    for (const { steps } of Object.values(read(name).jobs))
      for (const { uses, run } of steps) {
        if (uses !== undefined) expect(uses).toMatch(/@[0-9a-f]{40}$/)
        const rule = /^make ([a-z-]+)$/.exec(run ?? "")?.[1]
        if (rule) expect(rules).toContain(rule)
      }
})
