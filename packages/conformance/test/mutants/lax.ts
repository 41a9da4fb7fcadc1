// ovm as the suite starts it, but it takes its policy otherwise, or is wrong in what own.ts has: FAULT says how,
// MUTANT_REAL is what starts ovm.
import { spawn } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type Answer, type Asked, type Fault, reply, STATUS } from "./fault.ts"
import { OWN, serveForEver } from "./own.ts"
import { serveFault } from "./proxy.ts"

// biome-ignore lint/suspicious/noExplicitAny: a document that is changed at will
type Policy = any

const fault = process.env.FAULT ?? ""
const home = process.env.OVMS_CONFORMANCE_HOME ?? ""
const inner = join(home, "inner")
if (fault === "has no bounds") delete process.env.OVMS_CONFORMANCE_LIMITS
mkdirSync(inner, { mode: 0o700 })
for (const name of ["keys", "trusted_root.json"]) symlinkSync(join("..", name), join(inner, name))
mkdirSync(join(home, "store"))
for (const name of ["oci-layout", "blobs"])
  symlinkSync(join("../inner/store", name), join(home, "store", name))
spawn(process.env.MUTANT_REAL ?? "", [], {
  env: { ...process.env, OVMS_CONFORMANCE_HOME: inner },
  stdio: "ignore",
})

/** Changes each list of requirements that there is. */
const inScopes = (edit: (scope: Policy) => void) => (policy: Policy) => {
  const scopes = [policy.default, policy.local, ...Object.values(policy.scopes ?? {})]
  for (const scope of scopes) if (scope) edit(scope)
}
const inRules = (edit: (rule: Policy) => void) =>
  inScopes(({ requirements }) => {
    for (const rule of requirements) edit(rule)
  })

const CHANGES: Readonly<Record<string, (policy: Policy) => void>> = {
  "takes the scope of the host": (policy) => {
    for (const name of Object.keys(policy.scopes ?? {})) if (name.includes("/")) delete policy.scopes[name]
  },
  "takes no scope of a tag": (policy) => {
    for (const name of Object.keys(policy.scopes ?? {})) if (/\/.*:/.test(name)) delete policy.scopes[name]
  },
  "judges paths as all else": (policy) => {
    delete policy.local
  },
  "holds one requirement": inScopes((scope) => {
    scope.requirements = scope.requirements.slice(0, 1)
  }),
  "takes what says nothing": inRules((rule) => {
    if (rule.signedIdentity) rule.signedIdentity.unavailable = "allow"
  }),
  "compares no tags": inRules(({ signedIdentity }) => {
    if (signedIdentity?.type === "matchReference") signedIdentity.type = "matchRepository"
  }),
  "knows whose a path is": inRules((rule) => {
    delete rule.signedIdentity
  }),
  "asks for no conditions": inRules((rule) => {
    delete rule.conditions
  }),
  "knows no age": inRules((rule) => {
    if (rule.type !== "maxAge") return
    rule.type = "digestOnly"
    delete rule.hours
  }),
  // Without a root nobody vouches for a time (OVMS-SIG-062).
  "counts from what is said of it": inRules((rule) => {
    delete rule.trustedRoot
  }),
  "judges snapshots as machines": inScopes((scope) => {
    delete scope.snapshots
  }),
  "takes any signer of a snapshot": inScopes((scope) => {
    if (scope.snapshots === "sameSignerAsBase") scope.snapshots = "signed"
  }),
}

/** Codes that it says another one in place of. */
const NOT_KNOWN: Readonly<Record<string, string>> = {
  "knows no use of a volume elsewhere": "OVM_VOLUME_IN_USE",
  "knows no Secure Boot": "OVM_UEFI_UNSUPPORTED",
}

const DIGEST_ONLY = '{"schemaVersion": 1, "default": {"requirements": [{"type": "digestOnly"}]}}'

function changed(text: string): string {
  try {
    const policy = JSON.parse(text)
    CHANGES[fault]?.(policy)
    return JSON.stringify(policy)
  } catch {
    return fault === "runs under a broken policy" ? DIGEST_ONLY : text
  }
}

/** By instance, what it was started of, and by that what the policy said. */
const starts = new Map<string, string>()
const refusals = new Map<string, unknown>()
const manifestIn = (body: string): string => JSON.parse(body).manifest

function remembers({ status, body }: Answer, { url, body: asked }: Asked): void {
  if (url === "/start" && status < 400) starts.set(JSON.parse(body).instance_id, manifestIn(asked))
  if (url === "/start" && status === 403) refusals.set(manifestIn(asked), JSON.parse(body))
  const { instance_id, error } = STATUS.test(url) ? JSON.parse(body) : {}
  if (error?.code === "OVM_POLICY_REFUSED") refusals.set(starts.get(instance_id) ?? "", { errors: [error] })
}

let taken = ""
const lax: Fault = {
  instead: ({ url, body }) => {
    const said = url === "/start" && fault === "remembers refusals" && refusals.get(manifestIn(body))
    return said ? reply(403, said) : undefined
  },
  ask: ({ url, body }) => {
    if (fault === "remembers admissions for ever" && url === "/start")
      if ([...starts.values()].includes(manifestIn(body)))
        return writeFileSync(join(inner, "policy.json"), DIGEST_ONLY)
    const file = join(home, "policy.json")
    if (!existsSync(file) || fault === "has no policy") return
    if (fault === "reads its policy once" && taken !== "") return
    const text = changed(readFileSync(file, "utf8"))
    if (text !== taken) writeFileSync(join(inner, "policy.json"), text)
    taken = text
  },
  answer: (answer, asked) => {
    remembers(answer, asked)
    const code = NOT_KNOWN[fault]
    if (code) answer.body = answer.body.replaceAll(code, "OVM_VMM_FAILED")
    if (fault === "says not what it judged" && answer.status === 403)
      answer.body = answer.body.replace('"rules"', '"judged"')
  },
}
const [real, socket] = [join(inner, "ovm.sock"), join(home, "ovm.sock")]
if (fault === "waits for bodies for ever") serveForEver(real, socket)
else await serveFault(real, socket, OWN[fault] ?? lax)
