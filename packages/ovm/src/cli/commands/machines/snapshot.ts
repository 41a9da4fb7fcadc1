import { type Command, Option } from "commander"
import { OvmError } from "../../../errors.ts"
import type { InstanceInfo, SnapshotRequest } from "../../../runtime/interfaces.ts"
import { hasEnded } from "../../../runtime/states.ts"
import { endOf } from "../../end.ts"
import { hinted } from "../../hinted.ts"
import { findInstance, waitFor } from "../../instances.ts"
import { interruptible } from "../../interrupt.ts"
import { print, printError, printJson } from "../../output.ts"
import { examples } from "../../terminal/examples.ts"

interface SnapshotOptions {
  readonly tag: string
  readonly stop?: boolean
  readonly compress?: "zstd" | "lz4"
  readonly scrubCheck?: boolean
  readonly scrubReport?: boolean
  readonly once?: boolean
  readonly preload?: boolean
  readonly mlock?: boolean
  readonly execBefore?: string
  readonly freeze?: boolean
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "Keep a running machine as it is now: its RAM, the state of its devices and what it wrote to its disk " +
        "become an image, called by the tag in the repository of the machine's own image. The machine goes on. " +
        "`ovm run` of that image, or of the digest that is printed, goes on from there, as often as wanted: on " +
        "this host, or after `ovm push` on one with the same VMM.\n" +
        "RAM holds whatever the machine knew: take snapshots before secrets exist.",
    )
    .argument("<instance>", "id, start of an id, or name")
    .requiredOption("-t, --tag <tag>", "tag of the snapshot")
    .option("--stop", "end the machine once the snapshot is taken")
    .addOption(new Option("--compress <algorithm>", "of the RAM; zstd unless told").choices(["zstd", "lz4"]))
    .option("--scrub-check", "look for private keys and tokens in the RAM first, and refuse if there are any")
    .option("--scrub-report", "look for them, and only report what there is")
    .option("--once", "let the snapshot be resumed once only on each host")
    .option("--preload", "ask whoever resumes it to have its RAM in memory before the guest runs")
    .option("--mlock", "ask whoever resumes it to lock its RAM in memory: clones share nothing then")
    .option("--exec-before <command>", "have the guest's shell run this first; if it fails, nothing is taken")
    .option("--freeze", "have what the guest writes to its disks written out, and stand still meanwhile")
    .option("--json", "print JSON")
    .action(run)
  examples(
    command,
    "ovm snapshot web --tag fastboot",
    "ovm snapshot 3f2a --tag ready --stop --json",
    "ovm snapshot web --tag clean --scrub-check",
    "ovm snapshot web --tag ready --exec-before 'rm -f /root/.ssh/id_*' --freeze",
  )
}

async function run(name: string, options: SnapshotOptions): Promise<void> {
  const { answer, ended } = await interruptible(async (signal) => {
    const { runtime, instance } = await findInstance(name)
    const { instance_id } = instance
    const answer = await runtime
      .snapshot(requestOf(instance_id, options), { signal })
      .catch((thrown: unknown) => {
        throw withWay(thrown)
      })
    const over = (info: InstanceInfo) => hasEnded(info.state)
    return { answer, ended: options.stop && (await waitFor(runtime, instance_id, over, { signal })) }
  })
  if (ended) printError(`${ended.name} ${endOf(ended)}\n`)
  if (options.json) return printJson(answer)
  for (const { kind, count, offsets = [] } of answer.scrub?.findings ?? []) {
    const places = offsets.map((offset) => `0x${offset.toString(16)}`)
    // What is in the kernel's arguments has no place in the RAM.
    printError(`found: ${count} ${kind}${places.length > 0 ? `, at ${places.join(" ")}` : ""}\n`)
  }
  print(`${answer.snapshot_ref}\n`)
}

function requestOf(instance_id: string, options: SnapshotOptions): SnapshotRequest {
  const { tag, stop, compress, scrubCheck, scrubReport, once, preload, mlock, execBefore, freeze } = options
  return {
    instance_id,
    tag,
    ...(stop && { stop }),
    ...(compress && { compression: compress }),
    ...(scrubReport && { scrub_check: "report" }),
    ...(scrubCheck && { scrub_check: "refuse" }),
    ...(once && { multi_resume: "deny" }),
    ...(preload && { preload_hint: true }),
    ...(mlock && { mlock_required: true }),
    ...(execBefore !== undefined && { exec_before: ["sh", "-c", execBefore] }),
    ...(freeze && { freeze }),
  }
}

/** Of a name that is in the way the error says which. */
function withWay(thrown: unknown): unknown {
  if (!(thrown instanceof OvmError)) return thrown
  if (typeof (thrown.detail as { reference?: unknown } | undefined)?.reference !== "string") return thrown
  return hinted(thrown, "OVM_STATE_CONFLICT", "take another --tag")
}
