// ovm as the suite starts it, but all that it says of networks and does for them is wrong in something at once, which
// each check sees its own of, or in what FAULT says alone. MUTANT_REAL is what starts ovm.
import { execFileSync, spawn } from "node:child_process"
import { chmodSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type Fault, inStart } from "./fault.ts"
import { serveFault } from "./proxy.ts"

const home = process.env.OVMS_CONFORMANCE_HOME ?? ""
const inner = join(home, "inner")
const startedAgain = existsSync(inner)
mkdirSync(inner, { mode: 0o700, recursive: true })
rmSync(join(home, "ovm.sock"), { force: true })
// Whoever serves addresses and names is there soon when it is started first, and later not.
const programs = join(inner, "programs")
mkdirSync(programs, { recursive: true })
const late = join(programs, "dnsmasq")
writeFileSync(
  late,
  `#!/bin/sh\n[ ! -e "$0.begun" ] || sleep 15\n: >"$0.begun"\nPATH=\${PATH#*:}\nexec dnsmasq "$@"\n`,
)
chmodSync(late, 0o755)
const real = spawn(process.env.MUTANT_REAL ?? "", [], {
  env: { ...process.env, OVMS_CONFORMANCE_HOME: inner, PATH: `${programs}:${process.env.PATH}` },
  stdio: "ignore",
})
process.on("SIGTERM", () => real.kill())
// One that was killed has left its ovm behind, and another one for the same folder ends.
if (!startedAgain) real.on("exit", () => process.exit())

// biome-ignore lint/suspicious/noExplicitAny: a document that is changed at will
function edited(body: string, edit: (value: any) => void): string {
  const value = JSON.parse(body)
  edit(value)
  return JSON.stringify(value)
}

const nft = (rules: string) => execFileSync("nft", ["-f", "-"], { input: rules })

const all: Fault = {
  answer: (answer, { method, url }) => {
    if (answer.status >= 300) return
    if (method === "DELETE" && url.startsWith("/networks/")) nft("add table ip left")
    if (method === "GET" && url === "/networks" && startedAgain) answer.body = '{"networks": []}'
    if (url.startsWith("/status/"))
      answer.body = edited(answer.body, ({ network, fork, warnings }) => {
        warnings.length = 0
        if (network?.mode === "bridge") network.outbound = undefined
        if (fork) Object.assign(network, { mode: "bridge", name: "suite" })
      })
  },
}
/** What one of the others would hide. */
const letsIn = inStart((body) => {
  if (body.manifest.startsWith("localhost/")) delete body.overrides?.network
})
const fault = process.env.FAULT === "lets clones into a network" ? letsIn : all
await serveFault(join(inner, "ovm.sock"), join(home, "ovm.sock"), fault)
