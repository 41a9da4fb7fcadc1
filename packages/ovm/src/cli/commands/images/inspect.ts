import type { Command } from "commander"
import { inspectLines, inspectModel } from "../../../artifact/machine/inspect.ts"
import type { DiskBlob } from "../../../artifact/machine/mapping.ts"
import { readArtifact } from "../../../artifact/machine/read.ts"
import type { Call } from "../../../content/interfaces.ts"
import { interruptible } from "../../interrupt.ts"
import { printJson } from "../../output.ts"
import { locate } from "../../place/locate.ts"
import { oneMachine } from "../../place/machine.ts"
import type { Opened } from "../../place/open.ts"
import { type PlatformOption, platformOption } from "../../platform-option.ts"
import { examples } from "../../terminal/examples.ts"
import { printLines } from "../../terminal/lines.ts"
import { virtualSize } from "../../virtual-size.ts"

interface InspectOptions extends PlatformOption {
  readonly plainHttp?: boolean
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "Show what an image consists of. One that is not on this host is looked at in its registry; kernel and " +
        "disks are not fetched for that.",
    )
    .argument("<image>", "name of an image, or path of an OCI layout: DIRECTORY or DIRECTORY:TAG")
    .option("--plain-http", "speak HTTP without TLS to the registry")
  platformOption(command).option("--json", "print JSON").action(run)
  examples(
    command,
    "ovm inspect debian:13",
    "ovm inspect --platform linux/arm64 debian:13",
    "ovm inspect --json registry.example.com/machines/debian:13",
  )
}

async function run(image: string, options: InspectOptions): Promise<void> {
  const { model, lines } = await interruptible(async (signal) => {
    await using found = await locate(image, { ...options, signal })
    return await viewOf(await oneMachine(found, { ...options, signal }), { signal })
  })
  if (options.json) printJson(model)
  else printLines(lines)
}

interface View {
  readonly model: unknown
  readonly lines: readonly string[]
}

async function viewOf(found: Opened, call: Call): Promise<View> {
  const { source, target, name: reference, files } = found
  try {
    const artifact = await readArtifact(source, target, call)
    const sizes = files && {
      virtualSize: ({ descriptor, format }: DiskBlob) => virtualSize(files, descriptor, format),
    }
    const model = inspectModel(artifact, { reference, ...sizes })
    return { model, lines: inspectLines(model) }
  } catch (thrown) {
    // Loaded only now: what is not a machine is a snapshot, or the error stands.
    const { isSnapshot, readSnapshot } = await import("../../../artifact/snapshot/read.ts")
    if (!(await isSnapshot(source, target, call))) throw thrown
    const { snapshotLines, snapshotModel } = await import("../../../artifact/snapshot/inspect.ts")
    const model = snapshotModel(await readSnapshot(source, target, call), reference)
    return { model, lines: snapshotLines(model) }
  }
}
