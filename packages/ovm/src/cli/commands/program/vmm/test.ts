import { join } from "node:path"
import type { Command } from "commander"
import { paths } from "../../../../host/paths.ts"
import { endWith } from "../../../failure.ts"
import { interruptible } from "../../../interrupt.ts"
import { printJson } from "../../../output.ts"
import { examples } from "../../../terminal/examples.ts"
import { printLines } from "../../../terminal/lines.ts"
import { namedVmm } from "../../../vmms.ts"

interface TestOptions {
  readonly json?: boolean
}

/** Something does not work (spec/errors.md). */
const FAILED = 1

export function define(command: Command): void {
  command
    .description(
      "Run a small guest of this program's own on a virtual machine monitor, from its launch to its end, and say " +
        "which steps passed: console in and out, pause, another process taking over, a snapshot where there are " +
        "some, stop. An adapter of that name is executed, whether or not daemon.json names it. Needs no daemon, " +
        "and leaves nothing. Ends with status 1 if a step failed.",
    )
    .argument("<vmm>", "its name, such as qemu, or NAME of an executable ovm-vmm-NAME on PATH")
    .option("--json", "print JSON")
    .action(run)
  examples(
    command,
    "ovm vmm test qemu",
    "ovm vmm test mine --json | jq '.steps[] | select(.state == \"failed\")'",
  )
}

async function run(name: string, { json }: TestOptions): Promise<void> {
  const place = paths()
  const vmm = await namedVmm(place, name)
  const { trial } = await import("../../../../vmm/trial/trial.ts")
  const steps = await interruptible(async (signal) => {
    const results = []
    for await (const step of trial(vmm, join(place.root, "trials"), { signal })) {
      results.push(step)
      const { state, name, took_ms, reason } = step
      const time = state === "passed" ? `${Math.round(took_ms)} ms` : reason
      if (!json) printLines([`${state.padEnd(7)}  ${name.padEnd(12)}  ${time}`])
    }
    return results
  })
  const passed = steps.every(({ state }) => state !== "failed")
  if (json) printJson({ vmm: vmm.name, passed, steps })
  if (!passed) endWith(FAILED)
}
