import type { Command } from "commander"
import { OvmError } from "../../../errors.ts"
import { paths } from "../../../host/paths.ts"
import { type PullOptions as Call, pullImage } from "../../../images/pull.ts"
import { takeIn } from "../../../images/take-in.ts"
import { parseReference } from "../../../registry/reference.ts"
import { Policy } from "../../../signing/policy/policy.ts"
import { interruptible } from "../../interrupt.ts"
import { print, printJson, warn } from "../../output.ts"
import { type PlatformOption, platformOption } from "../../platform-option.ts"
import { registryAccess } from "../../registry.ts"
import { digestOfName } from "../../store.ts"
import { examples } from "../../terminal/examples.ts"
import { openProgress } from "../../terminal/progress.ts"

interface PullOptions extends PlatformOption {
  readonly allPlatforms?: boolean
  readonly plainHttp?: boolean
  readonly includeReferrers?: boolean
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "Copy an image from the registry in its name to this host. What is here already is not fetched.",
    )
    .argument("<image>", "name of an image, with the registry's host")
    .option("--include-referrers", "also what refers to the image: signatures, SBOMs, snapshots")
    .option("--plain-http", "speak HTTP without TLS to the registry")
    .addOption(
      command
        .createOption("--all-platforms", "of an index the machines for all platforms")
        .conflicts("platform"),
    )
  platformOption(command).option("--json", "print JSON").action(run)
  examples(command, "ovm pull registry.example.com/machines/debian:13")
}

async function run(image: string, options: PullOptions): Promise<void> {
  const reference = parseReference(image)
  if (reference.host === undefined)
    throw new OvmError("OVM_REFERENCE_INVALID", `${reference} names no registry to pull from`, {
      hint: `ovm pull HOST/${reference}`,
    })
  const name = reference.toString()
  const policy = new Policy(paths().policy)
  const { before, digest } = await interruptible(async (signal) => {
    using progress = await openProgress()
    const call: Call = {
      ...registryAccess(),
      signal,
      onProgress: progress.onProgress,
      onWarning: warn,
      ...(options.plainHttp && { plainHttp: true }),
      ...(options.includeReferrers && { includeReferrers: true }),
      ...(options.platform && { platform: options.platform }),
      ...(options.allPlatforms && { allPlatforms: true }),
    }
    return await takeIn(paths(), { durable: false }, async (store) => {
      const before = await digestOfName(store, name)
      return { before, digest: (await pullImage(store, reference, policy, call)).digest }
    })
  })
  const upToDate = before === digest
  if (options.json) printJson({ reference: name, digest, up_to_date: upToDate })
  else print(`${digest}  ${name}  ${upToDate ? "up to date" : "pulled"}\n`)
}
