import { readFile } from "node:fs/promises"
import type { Command } from "commander"
import type { Fetcher, ReferrerLister, Resolver } from "../../content/interfaces.ts"
import { toOvmError } from "../../errors.ts"
import type { Authority } from "../../signing/interfaces.ts"
import { predicateType } from "../../signing/predicates.ts"
import { evidenceIn } from "../../signing/source.ts"
import { discover } from "../../supply/discover/discover.ts"
import { discoverLines } from "../../supply/discover/lines.ts"
import { examples } from "../examples.ts"
import { interruptible } from "../interrupt.ts"
import { print, printable, printJson } from "../output.ts"
import { openOrigin, parseWhere } from "../places.ts"
import { parseCount } from "../size.ts"

interface DiscoverOptions {
  readonly keys: readonly string[]
  readonly type?: string
  readonly artifactType?: string
  readonly depth: number
  readonly plainHttp?: boolean
  readonly json?: boolean
}

export function define(command: Command): void {
  const keys: string[] = []
  command
    .description(
      "Show what is attached to an image, and to that: signatures and attestations with what to think of them, SBOMs, snapshots and\n" +
        "all else that refers to it. In its registry if the name has a host; in this host's store as store:NAME. Bad signatures are\n" +
        "shown and are no failure: ovm verify decides.",
    )
    .argument("<image>", "name of an image, or path of an OCI layout or archive")
    .option("--key <file>", "public key whose signatures are valid; again for others", (file) =>
      keys.push(file),
    )
    .option(
      "--type <type>",
      "attestations of this type only: spdxjson, cyclonedx, slsaprovenance1, …, or a URI",
    )
    .option("--artifact-type <type>", "referrers of this artifactType only")
    .option("--depth <count>", "how far to go from the image", (text) => parseCount(text, "--depth"), 8)
    .option("--plain-http", "speak HTTP without TLS to the registry")
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
  const authorities = await Promise.all(options.keys.map(keyAuthority))
  const graph = await interruptible(async (signal) => {
    const where = parseWhere(image)
    await using origin = await openOrigin(where, { ...options, signal })
    const store = origin.source as Fetcher & ReferrerLister & Resolver
    const prefix = where.kind === "store" ? `${where.reference.name}:` : ""
    return await discover(evidenceIn(store, prefix), origin.root, {
      authorities,
      depth,
      signal,
      ...(artifactType !== undefined && { artifactType }),
      ...(predicate !== undefined && { predicateType: predicate }),
    })
  })
  if (options.json) printJson({ image, ...graph })
  else
    print(
      discoverLines(graph, image)
        .map((line) => `${printable(line)}\n`)
        .join(""),
    )
}

async function keyAuthority(name: string): Promise<Authority> {
  const publicKey = await readFile(name, "utf8").catch((thrown: unknown) => {
    throw toOvmError(thrown)
  })
  return { kind: "key", name, publicKey }
}
