// What `validate decision` asks for, by ovm, with one fault in what it is given: FAULT names it (table.ts).
import { spawnSync } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Json } from "./fault.ts"

const [verb, kind, file = ""] = process.argv.slice(2)
if (verb !== "validate" || kind !== "decision") process.exit(69)

type Edit = (input: Json, policy: Json) => void

const scopesOf = (policy: Json): Json[] => [
  policy.default,
  policy.local,
  ...Object.values(policy.scopes ?? {}),
]
const inScopes =
  (edit: (scope: Json) => void): Edit =>
  (_, policy) => {
    for (const scope of scopesOf(policy)) if (scope) edit(scope)
  }
const inRules = (edit: (rule: Json) => void) =>
  inScopes(({ requirements, snapshots }) => {
    for (const rule of [...requirements, ...(Array.isArray(snapshots) ? snapshots : [])]) edit(rule)
  })
const without = (type: string) =>
  inRules((rule) => {
    if (rule.type === type) rule.type = "digestOnly"
    if (rule.type === "digestOnly") for (const member of ["hours", "allowed"]) delete rule[member]
  })

const firstAlone: Edit = (input) => {
  input.evidence = input.evidence?.slice(0, 1)
}

/** As if nothing were signed: what is left is the time that is said in a document. */
const byAgeAlone: Edit = (input, policy) => {
  input.evidence = []
  inScopes((scope) => {
    scope.requirements = scope.requirements.filter(({ type }: Json) => type === "maxAge")
  })(input, policy)
}

const FAULTS: Readonly<Record<string, Edit>> = {
  "decides by the scope of the host": (_, policy) => {
    for (const name of Object.keys(policy.scopes ?? {})) if (name.includes("/")) delete policy.scopes[name]
  },
  "decides by no scope of a tag": (_, policy) => {
    for (const name of Object.keys(policy.scopes ?? {})) if (/:[^/]*$/.test(name)) delete policy.scopes[name]
  },
  "decides by the tag beside a digest": (input) => {
    input.reference = input.reference.replace(/@.*/, "")
  },
  "decides by no local": (_, policy) => {
    delete policy.local
  },
  "decides by one requirement": inScopes((scope) => {
    scope.requirements = scope.requirements.slice(0, 1)
  }),
  "decides by no platform": without("platforms"),
  "decides by no age": without("maxAge"),
  "decides by one piece of evidence": firstAlone,
  "counts from the first signature": firstAlone,
  "counts what is not said": inRules(({ signedIdentity }) => {
    if (signedIdentity) signedIdentity.unavailable = "allow"
  }),
  "compares no tags": inRules(({ signedIdentity }) => {
    if (signedIdentity?.type === "matchReference") signedIdentity.type = "matchRepository"
  }),
  "meets one condition": inRules((rule) => {
    if (rule.conditions) rule.conditions = rule.conditions.slice(0, 1)
  }),
  "matches a part": inRules(({ identities = [] }) => {
    for (const one of identities)
      if (one.identityPattern) one.identityPattern = `.*(?:${one.identityPattern}).*`
  }),
  "needs no log": inRules((rule) => {
    if (rule.log) rule.log = "optional"
  }),
  "takes a log for a timestamp": inRules((rule) => {
    if (rule.trustedRoot) rule.timestamp = "optional"
  }),
  "looks at no index": (input) => {
    delete input.index
  },
  "takes an index for its machine": (input) => {
    input.machine.digest = input.index ?? input.machine.digest
  },
  "judges no base": (input) => {
    input.machine = input.snapshot ?? input.machine
  },
  "judges no snapshot": (input) => {
    delete input.snapshot
  },
  "lets anybody go on": inScopes((scope) => {
    if (scope.snapshots === "sameSignerAsBase") scope.snapshots = "signed"
  }),
}

const asked = join(process.env.OVMS_CONFORMANCE_HOME ?? "", "asked.json")
function judged(edit: Edit = () => {}): number {
  const input = JSON.parse(readFileSync(file, "utf8"))
  const policy = JSON.parse(Buffer.from(input.policy, "base64").toString())
  edit(input, policy)
  input.policy = Buffer.from(JSON.stringify(policy)).toString("base64")
  writeFileSync(asked, JSON.stringify(input))
  const command = ["validate", "--json", "--as", "decision", asked]
  return spawnSync(process.env.OVM ?? "", command, { stdio: "inherit" }).status ?? 1
}

const fault = process.env.FAULT ?? ""
const status =
  fault === "counts from what is said of it"
    ? judged(without("maxAge")) || judged(byAgeAlone)
    : judged(FAULTS[fault])
process.exit(status)
