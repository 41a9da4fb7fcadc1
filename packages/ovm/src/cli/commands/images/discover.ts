import type { Command } from "commander"
import { machineBehind } from "../../../artifact/platforms/read.ts"
import { predicateType } from "../../../signing/predicates.ts"
import { discover } from "../../../supply/discover/discover.ts"
import { discoverLines } from "../../../supply/discover/lines.ts"
import { type AuthorityOptions, authoritiesOf } from "../../authorities.ts"
import { authorityOptions } from "../../authority-options.ts"
import { interruptible } from "../../interrupt.ts"
import { printJson } from "../../output.ts"
import { openSubject } from "../../place/subject.ts"
import { type PlatformOption, platformOption } from "../../platform-option.ts"
import { parseCount } from "../../size.ts"
import { examples } from "../../terminal/examples.ts"
import { printLines } from "../../terminal/lines.ts"

interface DiscoverOptions extends AuthorityOptions, PlatformOption {
  readonly type?: string
  readonly artifactType?: string
  readonly depth: number
  readonly plainHttp?: boolean
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "Show what is attached to an image, and to that: signatures and attestations with what to think of them, " +
        "SBOMs, snapshots and all else that refers to it. In its registry if the name has a host; in this host's " +
        "store as store:NAME. Bad signatures are shown and are no failure: ovm verify decides.",
    )
    .argument("<image>", "name of an image, or path of an OCI layout or archive")
  const keys = authorityOptions(command)
  command
    .option(
      "--type <type>",
      "attestations of this type only: spdxjson, cyclonedx, slsaprovenance1, …, or a URI",
    )
    .option("--artifact-type <type>", "referrers of this artifactType only")
    .option("--depth <count>", "how far to go from the image", (text) => parseCount(text, "--depth"), 8)
    .option("--plain-http", "speak HTTP without TLS to the registry")
  platformOption(command, "the index, with all of its machines,")
    .option("--json", "print JSON")
    .action((image: string, options: Omit<DiscoverOptions, "keys">) => run(image, { ...options, keys }))
  examples(
    command,
    "ovm discover --key cosign.pub registry.example.com/machines/debian:13",
    "ovm discover --type cyclonedx --json registry.example.com/machines/debian:13",
  )
}

async function run(image: string, options: DiscoverOptions): Promise<void> {
  const { artifactType, depth, type } = options
  const predicate = type === undefined ? undefined : predicateType(type)
  const authorities = await authoritiesOf(options)
  const graph = await interruptible(async (signal) => {
    await using subject = await openSubject(image, { ...options, signal })
    const expected = subject.reference?.host && subject.reference.toString()
    const { platform } = options
    const { target } = platform
      ? await machineBehind(subject.evidence, subject.target, { platform, signal })
      : subject
    return await discover(subject.evidence, target, {
      authorities,
      depth,
      signal,
      ...(expected !== undefined && { expected }),
      ...(artifactType !== undefined && { artifactType }),
      ...(predicate !== undefined && { predicateType: predicate }),
    })
  })
  if (options.json) printJson({ image, ...graph })
  else printLines(discoverLines(graph, image))
}
