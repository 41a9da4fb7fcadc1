import { join } from "node:path"
import { guestArtifact } from "../../artifact/guest.ts"
import { writeLayout } from "../../artifact/layout.ts"
import { arm64Kernel, artifactOf } from "../../artifact/make.ts"
import { writeIndex } from "../../artifact/platforms.ts"
import { must, skip } from "../../check.ts"
import { utf8 } from "../../registry/content.ts"
import { type ApiError, errorOf } from "../../subject/answers.ts"
import { type Plan, refusedCreate, type Scene } from "./plan.ts"

/** Skips for a runtime that reads no index, and refuses one as what is no OCI image manifest (OVMS-OCI-002). */
async function readsIndexes({ runtime, keep }: Scene, manifest: string): Promise<void> {
  const reply = await runtime.raw("POST", "/instances", { body: { manifest } })
  if (reply.status < 400) {
    keep(JSON.parse(reply.text).instance_id)
    return
  }
  skipWithoutIndexes(errorOf("POST /instances", reply))
}

/** Skips where `error`, of an index that is in order, says that it is no OCI image manifest. */
export function skipWithoutIndexes({ code, detail }: ApiError): void {
  const faults: readonly { requirement?: string }[] = Array.isArray(detail) ? detail : []
  const isNoManifest = faults.some(({ requirement }) => requirement === "OVMS-OCI-002")
  if (code === "OVM_ARTIFACT_INVALID" && isNoManifest) skip("the runtime reads no index of machines")
}

const armed = () => artifactOf({ kernel: arm64Kernel(), document: { architecture: "arm64" } })

export const platformPlans: readonly Plan[] = [
  {
    name: "platforms/of-an-index",
    covers: ["OVMS-IDX-018", "OVMS-IDX-019", "OVMS-IDX-020"],
    async run(scene) {
      const { runtime, create } = scene
      const first = guestArtifact(utf8("first"))
      const second = guestArtifact(utf8("second"))
      const layout = await writeIndex(join(scene.folder, "index"), [
        ["arm64", armed()],
        ["amd64", first],
        ["amd64", second],
      ])
      await readsIndexes(scene, layout)
      for (const overrides of [{}, { platform: "linux/amd64" }]) {
        const { image } = await runtime.status(await create(overrides, layout))
        must(image.digest === first.digest, `of the index it took ${image.digest}, and not ${first.digest}`)
      }
      const other = { manifest: layout, overrides: { platform: "linux/arm64" } }
      const reply = await runtime.raw("POST", "/instances", { body: other })
      // Not every host can run it, and each can find it.
      if (reply.status >= 400) {
        const { code } = errorOf("POST /instances", reply)
        must(code !== "OVM_PLATFORM_MISSING", "it does not find the machine for arm64 of the index")
      } else {
        const { image } = await runtime.status(scene.keep(JSON.parse(reply.text).instance_id))
        must(image.digest === armed().digest, `of the index it took ${image.digest} for arm64`)
      }
      const missing = await refusedCreate(runtime, "OVM_PLATFORM_MISSING", {
        manifest: layout,
        overrides: { platform: "linux/riscv64" },
      })
      for (const platform of ["linux/amd64", "linux/arm64"])
        must(missing.message.includes(platform), `the refusal does not name ${platform}: ${missing.message}`)
      await refusedCreate(runtime, "OVM_PLATFORM_MISSING", {
        manifest: runtime.guest,
        overrides: { platform: "linux/arm64" },
      })
      const lies = await writeIndex(join(scene.folder, "lies"), [["amd64", armed()]])
      await refusedCreate(runtime, "OVM_ARTIFACT_INVALID", { manifest: lies })
    },
  },
  {
    name: "platforms/of-another-architecture",
    covers: ["OVMS-IDX-005"],
    async run({ runtime, keep, folder }) {
      const [foreign, own] = [armed(), guestArtifact()]
      const other = process.arch === "arm64" ? own : foreign
      const manifest = await writeLayout(join(folder, "foreign"), other)
      const platform = process.arch === "arm64" ? "linux/amd64" : "linux/arm64"
      const reply = await runtime.raw("POST", "/instances", { body: { manifest, overrides: { platform } } })
      if (reply.status >= 400) {
        const { code, message } = errorOf("POST /instances", reply)
        must(code === "OVM_UNSUPPORTED", `it is refused with ${code}: ${message}`)
        must(message.includes("/architecture"), `the refusal does not name /architecture: ${message}`)
        return
      }
      const { warnings } = await runtime.status(keep(JSON.parse(reply.text).instance_id))
      must(
        warnings.some((words) => /emulat|architecture/.test(words)),
        `no warning says that every instruction is emulated: ${warnings.join("; ")}`,
      )
    },
  },
  {
    name: "platforms/other-kernel",
    covers: ["OVMS-IDX-004", "OVMS-API-530"],
    async run({ runtime, machine }) {
      const manifest = await machine({ document: { architecture: "arm64" } })
      const body = { manifest, overrides: { platform: "linux/arm64" } }
      // Where no VMM runs arm64, two refusals apply.
      const { code, message } = await refusedCreate(runtime, /^OVM_(KERNEL_INVALID|UNSUPPORTED)$/, body)
      must(
        code === "OVM_KERNEL_INVALID" || message.includes("/architecture"),
        `the refusal names neither the kernel nor /architecture: ${message}`,
      )
    },
  },
]
