import { guestKernel } from "../artifact/guest.ts"
import { readLayout } from "../artifact/layout.ts"
import { arm64Kernel, kernelOf } from "../artifact/make.ts"
import { type Check, must } from "../check.ts"
import { utf8 } from "../registry/content.ts"
import type { Wrapper } from "../subject/wrapper.ts"
import { FOREIGN } from "./foreign.ts"
import { pack } from "./pack.ts"
import { type Files, GOOD } from "./pack-sources.ts"

/** A machine whose initrd is at another path. */
function elsewhere(path: string): Partial<Files> {
  return { source: { ...GOOD.source, initrd: { path } } }
}

/** The suite's guest, with its note under another name: nothing says where it is entered. */
function withoutEntry(): Buffer {
  return Buffer.from(guestKernel().toString("latin1").replaceAll("Xen\0", "Xan\0"), "latin1")
}

const CASES: readonly (readonly [string, readonly string[], string, Partial<Files>])[] = [
  ["kernel-nonsense", ["OVMS-SRC-010"], "OVM_KERNEL_INVALID", { vmlinuz: Buffer.alloc(4096, 1) }],
  ["kernel-cut-off", ["OVMS-SRC-023"], "OVM_KERNEL_INVALID", { vmlinuz: kernelOf(1).subarray(0, 3000) }],
  ["elf-cut-off", ["OVMS-SRC-022"], "OVM_KERNEL_INVALID", { vmlinuz: guestKernel().subarray(0, 2000) }],
  ["elf-without-entry", ["OVMS-SRC-022"], "OVM_KERNEL_INVALID", { vmlinuz: withoutEntry() }],
  [
    "kernel-of-another-architecture",
    ["OVMS-IDX-002"],
    "OVM_KERNEL_INVALID",
    { source: { ...GOOD.source, architecture: "amd64" }, vmlinuz: arm64Kernel() },
  ],
  ["disk-odd-size", ["OVMS-SRC-011"], "OVM_DISK_INVALID", { "base.raw": Buffer.alloc(1000, 5) }],
  ["file-empty", ["OVMS-SRC-009"], "OVM_SOURCE_INVALID", { initrd: utf8("") }],
  ["file-missing", ["OVMS-SRC-009", "OVMS-SEC-046"], "OVM_FILE_UNREADABLE", elsewhere("nothing")],
  ["folder", ["OVMS-SRC-009", "OVMS-SEC-046"], "OVM_FILE_UNREADABLE", elsewhere(".")],
  ["device", ["OVMS-SRC-009", "OVMS-SEC-048"], "OVM_FILE_UNREADABLE", elsewhere("/dev/zero")],
  [
    "unknown-member",
    ["OVMS-SRC-002", "OVMS-SRC-018"],
    "OVM_SOURCE_INVALID",
    { source: { ...GOOD.source, nmae: 1 } },
  ],
]

const ofOtherFormats: Check<Wrapper> = {
  name: "pack/refuses-disks-of-other-formats",
  profile: "core",
  covers: ["OVMS-SRC-020", "OVMS-DSK-040"],
  async run(wrapper, call) {
    const source = { ...GOOD.source, diskLayers: [{ path: "base.raw" }] }
    for (const [format, bytes] of Object.entries(FOREIGN)) {
      const { code } = await pack(wrapper, call, { ...GOOD, source, "base.raw": bytes }, format)
      must(code === "OVM_DISK_INVALID", `the pack of ${format} ended ${code ? `with ${code}` : "well"}`)
    }
  },
}

const ofItsKernel: Check<Wrapper> = {
  name: "pack/architecture-of-its-kernel",
  profile: "core",
  covers: ["OVMS-IDX-003"],
  async run(wrapper, call) {
    const { kernel: _, initrd: __, ...kernelless } = GOOD.source as Readonly<Record<string, unknown>>
    const cases = [
      ["arm64", { ...GOOD, vmlinuz: arm64Kernel() }],
      ["amd64", GOOD],
      ["amd64", { ...GOOD, source: kernelless }],
    ] as const
    for (const [at, [wanted, files]] of cases.entries()) {
      const { code, stderr, into } = await pack(wrapper, call, files, `layout${at}`)
      must(code === undefined, `the pack ended with ${code}: ${stderr.trim().slice(0, 300)}`)
      const { oci, blob } = await readLayout(into)
      must(oci.config, "there is no config")
      const { architecture } = JSON.parse((await blob(oci.config)).toString())
      must(architecture === wanted, `the manifest has the architecture ${architecture}, and not ${wanted}`)
    }
  },
}

export const packRefusals: readonly Check<Wrapper>[] = [
  ...CASES.map(
    ([name, covers, wanted, files]): Check<Wrapper> => ({
      name: `pack/refuses-${name}`,
      profile: "core",
      covers: [...covers, "OVMS-SRC-012"],
      async run(wrapper, call) {
        const { code } = await pack(wrapper, call, { ...GOOD, ...files } as Files)
        must(code === wanted, `the pack ended ${code ? `with ${code}` : "well"}, and not with ${wanted}`)
      },
    }),
  ),
  ofOtherFormats,
  ofItsKernel,
]
