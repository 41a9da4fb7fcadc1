// ovm behind its wrapper, with one fault: FAULT names it, MUTANT_REAL is the wrapper (table.ts).
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { afterwards, beforehand, ramOf } from "./importer.ts"
import { after, before, secrets } from "./others.ts"
import { change } from "./packer.ts"
import { pull } from "./puller.ts"
import { push } from "./pusher.ts"

const [verb = "", ...args] = process.argv.slice(2)
const fault = process.env.FAULT ?? ""

if (verb === "pull" && process.env.MUTANT === "puller")
  process.exit(await pull(fault, args[0] ?? "", args[1] ?? ""))
if (verb === "push" && process.env.MUTANT === "pusher")
  process.exit(await push(fault, args[0] ?? "", args[1] ?? ""))
beforehand(fault, verb, args)
before(fault, args)
const kept = fault === "has memory for all RAM" && verb === "inspect" ? ramOf(args[0] ?? "") : undefined
const real = spawnSync(process.env.MUTANT_REAL ?? "", [verb, ...args], {
  encoding: "utf8",
  maxBuffer: 64 << 20,
})
let { status, stdout, stderr } = real

if (fault.startsWith("forgets ")) {
  const [, id = "", at = ""] = fault.split(/ (?:at )?/)
  const said = stdout ? JSON.parse(stdout) : { faults: [] }
  const faults = said.faults.filter(
    (one: { requirement: string; pointer: string }) =>
      one.requirement !== `OVMS-${id}` || (at !== "" && one.pointer !== at),
  )
  if (faults.length < said.faults.length) {
    stdout = JSON.stringify({ ...said, faults })
    if (faults.length === 0) [status, stderr] = [0, ""]
  }
}
if (fault.startsWith("believes ") && stderr.includes(fault.slice("believes ".length)))
  [status, stderr] = [0, ""]
if (fault === "counts what has no name" && verb === "inspect") {
  const { manifests } = JSON.parse(readFileSync(`${args[0]}/index.json`, "utf8"))
  if (manifests.length > 1) [status, stderr] = [4, "error: OVM_ARTIFACT_INVALID: it has several artifacts\n"]
}
if (status === 0) afterwards(fault, verb, args)
after(fault, verb, args)
if (fault === "says who it is") stderr += process.env.DOCKER_CONFIG ? secrets() : ""
if (fault === "takes results for success" && verb === "run" && status === 3) status = 0
if (fault === "prints what it is given" && verb === "validate") stderr += readFileSync(args[1] ?? "", "utf8")
if (fault === "calls no signature invalid") stdout = stdout.replaceAll('"invalid"', '"unknown"')
if (fault === "says no pointer") stderr = stderr.replaceAll("/kernel", "")
if (verb === "pack" && status === 0) await change(fault, args[1] ?? "")
process.stdout.write(stdout)
process.stderr.write(stderr)
process.exit(kept?.length === 0 ? 1 : (status ?? 1))
