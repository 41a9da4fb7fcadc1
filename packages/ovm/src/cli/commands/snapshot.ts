import { type Command, Option } from "commander"
import { examples } from "../examples.ts"
import { findInstance } from "../instances.ts"
import { interruptible } from "../interrupt.ts"
import { print, printJson } from "../output.ts"

interface SnapshotOptions {
  readonly tag: string
  readonly stop?: boolean
  readonly compress?: "zstd" | "lz4"
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "Keep a running machine as it is now: its RAM, the state of its devices and what it wrote to its disk become an image,\n" +
        "called by the tag in the repository of the machine's own image. The machine goes on. `ovm run` of that image goes on\n" +
        "from there, as often as wanted: on this host, or after `ovm push` on one with the same VMM.\n" +
        "RAM holds whatever the machine knew: take snapshots before secrets exist.",
    )
    .argument("<instance>", "id, start of an id, or name")
    .requiredOption("-t, --tag <tag>", "tag of the snapshot")
    .option("--stop", "end the machine once the snapshot is taken")
    .addOption(new Option("--compress <algorithm>", "of the RAM; zstd unless told").choices(["zstd", "lz4"]))
    .option("--json", "print JSON")
    .action(run)
  examples(command, "ovm snapshot web --tag fastboot", "ovm snapshot 3f2a --tag ready --stop --json")
}

async function run(name: string, { tag, stop, compress, json }: SnapshotOptions): Promise<void> {
  const answer = await interruptible(async (signal) => {
    const { runtime, instance } = await findInstance(name)
    const { instance_id } = instance
    const options = { ...(stop && { stop }), ...(compress && { compression: compress }) }
    return runtime.snapshot({ instance_id, tag, ...options }, { signal })
  })
  if (json) printJson(answer)
  else print(`${answer.snapshot_ref}\n`)
}
