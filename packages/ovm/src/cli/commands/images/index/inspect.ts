import type { Command } from "commander"
import { bytesText, tree } from "../../../../artifact/machine/inspect.ts"
import { machinesIn } from "../../../../artifact/platforms/machines.ts"
import { isIndex, readMachineIndex } from "../../../../artifact/platforms/read.ts"
import { OvmError } from "../../../../errors.ts"
import { interruptible } from "../../../interrupt.ts"
import { printJson } from "../../../output.ts"
import { locate } from "../../../place/locate.ts"
import { examples } from "../../../terminal/examples.ts"
import { printLines } from "../../../terminal/lines.ts"

interface InspectOptions {
  readonly plainHttp?: boolean
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "Show the machines of an index, on this host or in its registry: nothing but the index itself is fetched. " +
        "ovm inspect --platform shows one of them.",
    )
    .argument("<name>", "name of an index, or path of an OCI layout: DIRECTORY or DIRECTORY:TAG")
    .option("--plain-http", "speak HTTP without TLS to the registry")
    .option("--json", "print JSON")
    .action(run)
  examples(command, "ovm index inspect registry.example.com/machines/debian:13")
}

async function run(name: string, options: InspectOptions): Promise<void> {
  const model = await interruptible(async (signal) => {
    await using found = await locate(name, { ...options, signal })
    const { source, target, files } = found
    if (!isIndex(target))
      throw new OvmError("OVM_UNSUPPORTED", `${found.name} is no index`, {
        detail: [{ pointer: "/manifests", reason: "not an index" }],
        hint: `ovm inspect ${name}`,
      })
    const index = await readMachineIndex(source, target, { signal })
    const machines = machinesIn(index)
    const shown = machines.map(async ({ platform, descriptor }) => ({
      platform,
      digest: descriptor.digest,
      size: descriptor.size,
      ...(files && { here: await files.exists(descriptor, { signal }) }),
    }))
    return {
      reference: found.name,
      digest: target.digest,
      machines: await Promise.all(shown),
      others: index.manifests.length - machines.length,
      annotations: index.annotations ?? {},
    }
  })
  if (options.json) printJson(model)
  else printLines(linesOf(model))
}

interface Model {
  readonly reference: string
  readonly digest: string
  readonly machines: readonly {
    readonly platform: string
    readonly digest: string
    readonly size: number
    readonly here?: boolean
  }[]
  readonly others: number
}

function linesOf({ reference, digest, machines, others }: Model): readonly string[] {
  const entries = machines.map(({ platform, digest, size, here }) => ({
    text: `${platform}  ${digest}  ${bytesText(size)}${here === false ? ", not on this host" : ""}`,
  }))
  const rest = others > 0 ? [{ text: `${others} entries that are no machines` }] : []
  return [reference, `digest  ${digest}`, ...tree([...entries, ...rest])]
}
