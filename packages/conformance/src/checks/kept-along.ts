import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { artifactOf, store } from "../artifact/make.ts"
import { snapshotOf } from "../artifact/snapshot.ts"
import { type Check, must, skip } from "../check.ts"
import { parsed } from "../registry/content.ts"
import type { Wrapper } from "../subject/wrapper.ts"
import { holds } from "./pull.ts"
import { type Plan, withRegistry } from "./with-registry.ts"

const NAME = "org.opencontainers.image.ref.name"

const PLANS: readonly Plan[] = [
  {
    name: "keep/snapshot-that-came-along",
    profile: "snapshot",
    covers: ["OVMS-SNP-152"],
    async run({ wrapper, registry, ...call }) {
      const base = artifactOf()
      const snapshot = store(registry.repository, snapshotOf(base))
      store(registry.repository, base, "1")
      const layout = join(call.folder, "store")
      const { code, stderr } = await wrapper.call("keep", [registry.reference("1"), layout], call)
      must(code === undefined, `it ended with ${code}: ${stderr.trim().slice(0, 300)}`)
      const index = await readFile(join(layout, "index.json")).catch(() => undefined)
      if (!index) skip("the implementation keeps content in no OCI image layout")
      const listed = (digest: string) => parsed(index).manifests?.filter((one) => one.digest === digest) ?? []
      must(listed(base.digest).length > 0, "the machine is not listed in index.json")
      const found = listed(snapshot.digest)
      must(found.length > 0, "a snapshot that came along with its base is not listed in index.json")
      const named = found.find(({ annotations }) => annotations?.[NAME] !== undefined)
      must(!named, `a snapshot that came along has the name ${named?.annotations?.[NAME]}`)
      await holds(layout, snapshot)
    },
  },
]

export const keptAlongChecks: readonly Check<Wrapper>[] = PLANS.map(withRegistry)
