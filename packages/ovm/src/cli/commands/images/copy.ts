import type { Command } from "commander"
import type { CopyOptions as CopyCall } from "../../../content/copy.ts"
import { interruptible } from "../../interrupt.ts"
import { print, printJson } from "../../output.ts"
import { copyTo } from "../../place/copy.ts"
import { oneMachine } from "../../place/machine.ts"
import { open } from "../../place/open.ts"
import { findWhere, parseWhere } from "../../place/where.ts"
import { type PlatformOption, platformOption } from "../../platform-option.ts"
import { examples } from "../../terminal/examples.ts"
import { helpSection } from "../../terminal/help.ts"
import { openProgress } from "../../terminal/progress.ts"

interface CopyOptions extends PlatformOption {
  readonly includeReferrers?: boolean
  readonly plainHttp?: boolean
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description("Copy an artifact, which need not be a machine, with all that it refers to.")
    .argument("<from>", "the place where it is")
    .argument("<to>", "the place where it is to be")
    .option("--include-referrers", "also what refers to it: signatures, SBOMs, snapshots")
    .option("--plain-http", "speak HTTP without TLS to registries")
  platformOption(command, "the whole index").option("--json", "print JSON").action(run)
  helpSection(command, "Places:", [
    ["HOST/REPOSITORY[:TAG|@DIGEST]", "a registry, also as docker://…"],
    ["NAME[:TAG]", "this host; store:NAME for a name with a host"],
    ["oci:DIRECTORY[:TAG]", "an OCI layout, also as ./DIRECTORY"],
    ["oci-archive:FILE[:TAG]", "the tar archive of one, also as ./FILE.tar"],
  ])
  examples(
    command,
    "ovm copy registry.example.com/machines/debian:13 mirror.example.com/machines/debian:13",
    "ovm copy --include-referrers registry.example.com/machines/debian:13 oci-archive:debian.tar",
    "ovm copy oci:./layout:13 store:registry.example.com/machines/debian:13",
  )
}

async function run(from: string, to: string, options: CopyOptions): Promise<void> {
  const [origin, destination] = [await findWhere(from), parseWhere(to)]
  const plainHttp = options.plainHttp ?? false
  const { digest, name } = await interruptible(async (signal) => {
    await using whole = await open(origin, { signal, plainHttp, once: true })
    const { platform } = options
    const opened = platform ? await oneMachine(whole, { platform, signal }) : whole
    using progress = await openProgress()
    const includeReferrers = options.includeReferrers ?? false
    const call: CopyCall = { signal, includeReferrers, onProgress: progress.onProgress }
    return { digest: opened.target.digest, name: await copyTo(destination, opened, { ...call, plainHttp }) }
  })
  if (options.json) printJson({ from, to: name, digest })
  else print(`${digest}  ${name}\n`)
}
