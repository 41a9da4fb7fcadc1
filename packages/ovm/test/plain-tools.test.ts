import { expect, setDefaultTimeout, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { copyFile, mkdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import { qemuImg } from "@ovms/testkit/disks.ts"
import { buildGuest, guestMissing } from "@ovms/testkit/guest.ts"
import { findPeer, type RegistryServer, registryMissing, startRegistry } from "@ovms/testkit/registry.ts"
import { digestOf } from "../src/content/digest.ts"
import { Sandbox } from "./sandbox.ts"

setDefaultTimeout(240_000)

// A machine needs no tool of ours to be published or fetched: oras and skopeo do (OVMS-OCI-036, OVMS-OCI-052,
// OVMS-OCI-053, OVMS-OCI-055, OVMS-OCI-070, OVMS-SRC-016).

const skip =
  guestMissing ||
  registryMissing ||
  qemuImg.note ||
  (findPeer("oras") ? "" : "oras is not there (make peers)") ||
  (findPeer("skopeo") ? "" : "skopeo is not installed") ||
  (Bun.which("qemu-system-x86_64") ? "" : "qemu-system-x86_64 is not installed")
if (skip) console.log(`SKIP packages/ovm/test/plain-tools.test.ts: ${skip}`)

const FILES = ["kernel.bin", "initrd.img", "base.qcow2", "diff1.qcow2"]

/** The parts of a machine as files in `box`. */
async function makeParts(box: Sandbox): Promise<void> {
  await copyFile(await buildGuest(), box.path("kernel.bin"))
  await box.file("initrd.img", "an initrd")
  qemuImg.run("create", "-q", "-f", "qcow2", box.path("base.qcow2"), "1M")
  qemuImg.io(box.path("base.qcow2"), "write -q -P 7 0 64k")
  qemuImg.run("create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", box.path("diff1.qcow2"))
  qemuImg.io(box.path("diff1.qcow2"), "write -q -P 8 64k 64k")
}

function tool(box: Sandbox, name = "", ...args: string[]): void {
  const { status, stdout, stderr } = spawnSync(findPeer(name) ?? name, args, {
    cwd: box.directory,
    encoding: "utf8",
    env: { PATH: process.env.PATH, HOME: box.directory },
  })
  if (status !== 0) throw new Error(`${name} ${args.join(" ")}: ${stdout}${stderr}`)
}

// OVMS-API-026, OVMS-MAN-059
test.skipIf(Boolean(skip))("what `oras push` made of a list of files is booted", async () => {
  await using registry: RegistryServer = await startRegistry()
  await using box = await Sandbox.create()
  await makeParts(box)
  const part = async (name: string) => {
    const bytes = await readFile(box.path(name))
    return { ref: digestOf(bytes), format: "qcow2", size: bytes.byteLength }
  }
  const [kernel, initrd, ...diskLayers] = await Promise.all(FILES.map(part))
  await box.file("manifest.json", {
    schemaVersion: 1,
    mediaType: "application/vnd.ovms.manifest.v1+json",
    name: "example/ubuntu-base",
    version: "24.04",
    kernel: { ref: kernel?.ref, args: "ticks=1 tick_ms=10 off=1" },
    initrd: { ref: initrd?.ref },
    diskLayers,
    devices: [{ type: "ivshmem", name: "mmio0", size: 67_108_864, mmio_addr: "0x10000000" }],
    metadata: {
      author: "ovms",
      created: "2025-09-29T00:00:00Z",
      platform: { arch: "x86_64", uefi: false },
    },
    runtimeHints: { preferredRuntime: ["firecracker", "qemu"], coldStartTargetMs: 10 },
  })
  const name = `${registry.host}/ovms/ubuntu:24.04`
  tool(
    box,
    ...["oras", "push", "--plain-http", name],
    ...["--artifact-type", "application/vnd.ovms.manifest.v1+json"],
    "manifest.json:application/vnd.ovms.manifest.v1+json",
    "kernel.bin:application/vnd.ovms.kernel.v1",
    "initrd.img:application/vnd.ovms.initrd.v1",
    "base.qcow2:application/vnd.oci.image.layer.v1.tar",
    "diff1.qcow2:application/vnd.oci.image.layer.v1.tar",
  )
  const console = await box.ok(["run", "--name", "seed", name])
  expect(console).toContain("DISK sectors=2048")
  expect(console).toContain("size=9 head=")
  expect(console).toContain("TICK 1")
  const { state, warnings } = await box.json(["status", "seed"])
  expect(state).toBe("stopped")
  expect(warnings.join()).toContain("/devices/0/mmio_addr")
})

test.skipIf(Boolean(skip))("`oras pull` and `skopeo copy` read what ovm pushed, byte for byte", async () => {
  await using registry = await startRegistry()
  await using box = await Sandbox.create()
  await makeParts(box)
  const name = `${registry.host}/machines/plain:1`
  const parts = ["--kernel", "kernel.bin", "--initrd", "initrd.img", "--layer", "base.qcow2"]
  const args = ["--layer", "diff1.qcow2", "--args", "ticks=1 tick_ms=10 off=1", "-t", name]
  const { digest } = await box.json(["pack", ...parts, ...args])
  await box.ok(["push", name])

  await mkdir(box.path("files"))
  tool(box, "oras", "pull", "--plain-http", "-o", "files", name)
  const { layers } = JSON.parse(await readFile(blobOf(join(box.home, "store"), digest), "utf8"))
  const titles = layers.map((layer: { annotations: Record<string, string> }) => {
    return layer.annotations["org.opencontainers.image.title"]
  })
  expect(titles).toHaveLength(FILES.length)
  for (const [index, title] of titles.entries())
    expect(await readFile(box.path(`files/${title}`))).toEqual(await readFile(box.path(FILES[index] ?? "")))

  // What lies in the folder now is a manifest with its blobs beside it, which is started by path.
  await using elsewhere = await Sandbox.create()
  const console = await elsewhere.ok(["run", "--rm", box.path("files/manifest.json")])
  expect(console).toContain("DISK sectors=2048")

  tool(
    box,
    ...["skopeo", "--insecure-policy", "copy", "--src-tls-verify=false"],
    ...[`docker://${name}`, "oci:copied:1"],
  )
  const index = JSON.parse(await readFile(box.path("copied/index.json"), "utf8"))
  expect(index.manifests.map((entry: { digest: string }) => entry.digest)).toEqual([digest])
  for (const { digest: blob } of layers)
    expect(digestOf(await readFile(blobOf(box.path("copied"), blob)))).toBe(blob)
})

function blobOf(layout: string, digest: string): string {
  return join(layout, "blobs/sha256", digest.replace("sha256:", ""))
}
