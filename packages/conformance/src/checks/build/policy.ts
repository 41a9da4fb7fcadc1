import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { type Check, must } from "../../check.ts"
import { containerIn } from "../../foreign/container.ts"
import { ForeignLayout } from "../../foreign/layout.ts"
import { type Descriptor, parsed } from "../../registry/content.ts"
import { Registry } from "../../registry/server.ts"
import { attach, type Keys, newKeys } from "../../signing/evidence.ts"
import type { Wrapper } from "../../subject/wrapper.ts"
import { bootFolder } from "../import/container-stage.ts"
import { type Bench, bench, newLayout } from "../import/stage.ts"
import { built, refusesBuildWith } from "./stage.ts"

// Nothing is done in a machine: what a build may begin with or copy from is judged before that.

const ANYTHING = { requirements: [{ type: "digestOnly" }] }
const NOTHING = { requirements: [{ type: "reject" }] }
const signedBy = (keys: Keys) => ({ requirements: [{ type: "signed", keys: [{ pem: keys.publicPem }] }] })
const LABEL = "LABEL a=b\n"

/** A container image in a file and, at the tag of each, in a registry: by itself, and through an index. */
async function images(bench: Bench, registry: Registry) {
  const layout = new ForeignLayout(newLayout(bench))
  const image = containerIn(layout, [
    [{ name: "srv/file", content: "of the image" }],
    [{ name: "srv/more", content: "of its last layer" }],
  ])
  const platform = { platform: { os: "linux", architecture: "amd64" } }
  const index = layout.index([{ ...image, ...platform }])
  await layout.into(registry.repository, image, "image")
  await layout.into(registry.repository, index, "index")
  return { base: layout.only(image), boot: await bootFolder(bench), image, index }
}

const sign = ({ repository }: Registry, { digest, size }: Descriptor, keys: Keys) =>
  attach(repository, { digest, size }, keys)

/** Fails if the image was fetched: what it is may be told by the beginning of its first layer. */
function nothingFetched({ seen, repository }: Registry, { digest }: Descriptor): void {
  const [, last] = parsed(repository.manifests.get(digest)?.bytes ?? Buffer.alloc(0)).layers ?? []
  const fetched = seen.some(({ path }) => last && path.endsWith(last.digest))
  must(!fetched, "it was refused, and its last layer was fetched")
}

export const buildPolicies: readonly Check<Wrapper>[] = [
  {
    ...bench("build/policy-of-container-images", ["OVMS-BLD-058", "OVMS-CNF-041"], async (bench) => {
      await using registry = await Registry.start()
      const { base, boot, image, index } = await images(bench, registry)
      const [keys, others] = [newKeys(), newKeys()]
      const policy = (document: object) =>
        writeFile(join(bench.folder, "policy.json"), JSON.stringify({ schemaVersion: 1, ...document }))
      const refuses = (text: string) => refusesBuildWith(bench, "OVM_POLICY_REFUSED", text, { base, boot })
      const builds = (text: string) => built(bench, text, { base, boot })
      const begins = (tag: string) => `FROM ${registry.reference(tag)}\n${LABEL}`
      const scope = registry.reference("image").replace(/:image$/, "")
      // Of one in a file.
      await policy({ default: ANYTHING, local: NOTHING })
      await refuses(`FROM base\n${LABEL}`)
      await policy({ default: NOTHING, local: ANYTHING })
      await builds(`FROM base\n${LABEL}`)
      // By the scope of its name, and what is copied from as well.
      await refuses(begins("image"))
      await refuses(`FROM base\nCOPY --from=${registry.reference("image")} /srv /srv\n`)
      await policy({ default: NOTHING, local: ANYTHING, scopes: { [scope]: signedBy(keys) } })
      sign(registry, image, others)
      await refuses(begins("image"))
      await refuses(begins("index"))
      nothingFetched(registry, image)
      // With what is beside the manifest, or the index that it was found through.
      sign(registry, index, keys)
      await builds(begins("index"))
      await refuses(begins("image"))
      sign(registry, image, keys)
      await builds(begins("image"))
    }),
    profile: "signing",
  },
]
