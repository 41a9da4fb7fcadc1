import { mkdir, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { type GoldenName, goldenFiles, goldenLayouts } from "../artifact/golden/layouts.ts"
import { OCI_MANIFEST, store } from "../artifact/make.ts"
import { type Check, type CheckCall, must } from "../check.ts"
import type { Wrapper } from "../subject/wrapper.ts"
import { withRegistry } from "./with-registry.ts"

// The layouts of spec/vectors/layouts, as they lie there.

const READ = [
  ["machine", "core", ["OVMS-OCI-001", "OVMS-CNF-010"]],
  ["signed", "core", ["OVMS-REF-025"]],
  ["snapshot", "snapshot", ["OVMS-SNP-042"]],
  ["snapshot-of-a-clone", "snapshot", ["OVMS-SNP-042", "OVMS-REF-025"]],
] as const

async function read(layout: GoldenName, wrapper: Wrapper, call: CheckCall): Promise<void> {
  for (const [path, bytes] of Object.entries(goldenFiles())) {
    if (!path.startsWith(`${layout}/`)) continue
    await mkdir(dirname(join(call.folder, path)), { recursive: true })
    await writeFile(join(call.folder, path), bytes)
  }
  const { code, stderr } = await wrapper.call("inspect", [join(call.folder, layout)], call)
  must(code === undefined, `the inspect ended with ${code}: ${stderr.trim().slice(0, 300)}`)
}

export const goldenChecks: readonly Check<Wrapper>[] = [
  ...READ.map(
    ([layout, profile, covers]): Check<Wrapper> => ({
      name: `golden/${layout}`,
      profile,
      covers,
      run: (wrapper, call) => read(layout, wrapper, call),
    }),
  ),
  withRegistry({
    name: "golden/signature",
    profile: "signing",
    covers: ["OVMS-SIG-024"],
    async run({ registry, wrapper, ...call }) {
      const { machine, attested } = goldenLayouts()
      const { repository } = registry
      store(repository, machine.main, "1")
      for (const { manifest, blobs } of attested.evidence) {
        for (const bytes of blobs) repository.blob(bytes)
        repository.put(manifest, OCI_MANIFEST)
      }
      const key = join(call.folder, "golden.pub")
      await writeFile(key, goldenFiles()["golden.pub"] ?? "")
      const { code, stderr } = await wrapper.call("verify", [key, registry.reference("1")], call)
      must(code === undefined, `it ended with ${code}: ${stderr.trim().slice(0, 300)}`)
    },
  }),
]
