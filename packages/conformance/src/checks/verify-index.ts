import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { arm64Kernel, artifactOf, OCI_INDEX, store } from "../artifact/make.ts"
import { indexOf } from "../artifact/platforms.ts"
import { type Check, must } from "../check.ts"
import { attach, newKeys } from "../signing/evidence.ts"
import type { Wrapper } from "../subject/wrapper.ts"
import { type Plan, withRegistry } from "./with-registry.ts"

const PLANS: readonly Plan[] = [
  {
    name: "verify/index-by-its-machines",
    profile: "signing",
    covers: ["OVMS-IDX-026", "OVMS-IDX-029"],
    async run({ wrapper, registry, ...call }) {
      const { repository } = registry
      const amd64 = artifactOf()
      const arm64 = artifactOf({ kernel: arm64Kernel(), document: { architecture: "arm64" } })
      const keys = newKeys()
      for (const { digest, oci } of [store(repository, amd64), store(repository, arm64)])
        attach(repository, { digest, size: oci.length }, keys)
      const bytes = indexOf([
        ["amd64", amd64],
        ["arm64", arm64],
      ])
      const index = {
        mediaType: OCI_INDEX,
        digest: repository.put(bytes, OCI_INDEX, "1"),
        size: bytes.length,
      }
      const key = join(call.folder, "public.key")
      await writeFile(key, keys.publicPem)
      const verify = () => wrapper.call("verify", [key, registry.reference("1")], call)
      const { code } = await verify()
      must(
        code === "OVM_SIGNATURE_MISSING",
        `of an index whose machines alone are signed it says ${code ?? "that it is signed"}`,
      )
      attach(repository, index, keys, { manifest: { subject: index } })
      const signed = await verify()
      must(signed.code === undefined, `an index that is signed is refused with ${signed.code}`)
    },
  },
]

export const verifyIndexChecks: readonly Check<Wrapper>[] = PLANS.map(withRegistry)
