import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { zstdCompressSync } from "node:zlib"
import { registryMissing, startRegistry } from "@ovms/testkit/registry.ts"
import { ForeignLayout } from "./foreign-image.testing.ts"
import { Sandbox } from "./sandbox.ts"

// Machines as other programs hand them on: in archives and in registries.

setDefaultTimeout(240_000)

const skip = ["qemu-img", "xz", "tar", "prlimit", "skopeo"]
  .filter((program) => !Bun.which(program))
  .map((program) => `${program} is not installed`)
  .join(", ")
if (skip) console.log(`SKIP packages/ovm/test/import-foreign.test.ts: ${skip}`)

const DISK_BYTES = 1 << 20

describe.skipIf(Boolean(skip))("machines of other programs", () => {
  let box: Sandbox
  let raw: Buffer
  let digest = ""
  let images = 0
  const imported = (source: string) => box.json(["import", source, "-t", "m:1"])
  const layout = () => new ForeignLayout(box.path(`layout${images++}`))
  const run = (program: string, ...args: string[]) => {
    const done = spawnSync(program, args, { cwd: box.directory, maxBuffer: 1 << 26 })
    expect([program, done.status, `${done.stderr}`]).toEqual([program, 0, ""])
    return done.stdout
  }

  /** The index, the manifest and the config of the artifact in an archive. */
  const inArchive = (archive: string) => {
    const read = (name: string) => JSON.parse(`${run("tar", "xOf", archive, name)}`)
    const blob = ({ digest }: { digest: string }) => read(`blobs/sha256/${digest.slice(7)}`)
    const index = blob(read("index.json").manifests[0])
    const manifest = blob(index.manifests[0])
    return [index, [manifest, blob(manifest.config)]]
  }

  beforeAll(async () => {
    box = await Sandbox.create()
    raw = Buffer.alloc(DISK_BYTES)
    raw.write("a disk of its own", 4096)
    await box.file("disk.raw", raw)
    run("qemu-img", "convert", "-O", "qcow2", "-c", "disk.raw", "disk.qcow2")
    mkdirSync(box.path("disk"))
    writeFileSync(box.path("disk/fedora.qcow2"), await readFile(box.path("disk.qcow2")))
    digest = (await imported("disk.raw")).digest
  })
  afterAll(async () => await box[Symbol.asyncDispose]())

  test("a disk alone in a tar, also a compressed one, or with holes [OVMS-IMP-060, OVMS-IMP-082]", async () => {
    run("tar", "cf", "disk.tar", "disk.raw")
    run("tar", "czf", "disk.tgz", "disk")
    run("tar", "cJf", "disk.img", "./disk.qcow2")
    run("tar", "cSf", "holes.tar", "disk.raw")
    run("tar", "cSzf", "holes.tgz", "--format=posix", "disk.raw")
    for (const file of ["disk.tar", "disk.tgz", "disk.img", "holes.tar", "holes.tgz"])
      expect([file, (await imported(file)).digest]).toEqual([file, digest])
    run("tar", "cf", "two.tar", "disk.raw", "disk.qcow2")
    run("truncate", "-s", "300G", "large.raw")
    run("tar", "cSf", "large.tar", "large.raw")
    run("tar", "cf", "link.tar", "--transform=s,disk.raw,../out.raw,", "-P", "disk.raw")
    await box.file("twice.tar", await readFile(box.path("disk.tar")))
    run("tar", "rf", "twice.tar", "disk.raw")
    await box.file("inner.gz", run("gzip", "-c", "disk.raw"))
    run("tar", "czf", "inner.tgz", "inner.gz")
    // Sizes that are none: letters, and GNU's form of a number below zero.
    for (const [name, size] of [
      ["letters.tar", "7777777777z"],
      ["below.tar", "\xff".repeat(12)],
    ] as const) {
      const header = Buffer.from(await readFile(box.path("disk.tar")))
      header.write(size.padEnd(12, "\0"), 124, "latin1")
      header.write("        ", 148)
      const sum = header.subarray(0, 512).reduce((all, byte) => all + byte, 0)
      header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148)
      await box.file(name, header)
      await box.fails(["import", name, "-t", "bad:1"], "OVM_ARTIFACT_INVALID", [
        name,
        '"disk.raw" has a size',
      ])
    }
    for (const [file, word] of Object.entries({
      "two.tar": "2 files",
      "large.tar": "in files with holes",
      "twice.tar": "two files",
      "inner.tgz": "compressed itself",
    }))
      await box.fails(["import", file, "-t", "bad:1"], "OVM_DISK_INVALID", [file, word])
    await box.fails(["import", "link.tar", "-t", "bad:1"], "OVM_ARTIFACT_INVALID", ["../out.raw"])
  })

  test("a box of Vagrant's for libvirt is its disks, in the order of its metadata [OVMS-IMP-086]", async () => {
    const boxed = async (name: string, metadata: object | string, ...disks: readonly string[]) => {
      for (const disk of disks) await box.file(disk, await readFile(box.path("disk.qcow2")))
      await box.file("metadata.json", metadata)
      await box.file("Vagrantfile", 'Vagrant.configure("2") { |config| }\n')
      run("tar", "czf", name, "./metadata.json", "./Vagrantfile", ...disks)
      return name
    }
    const one = { provider: "libvirt", format: "qcow2", virtual_size: 1 }
    expect((await imported(await boxed("one.box", one, "box.img"))).digest).toBe(digest)
    await box.file("second.raw", Buffer.alloc(DISK_BYTES, "second"))
    const disks = [{ path: "box_0.img", format: "qcow2" }, { path: "second.raw" }]
    await boxed("both.box", { provider: "libvirt", disks }, "box_0.img")
    run("tar", "czf", "both.box", "second.raw", "box_0.img", "Vagrantfile", "metadata.json")
    const { manifest } = await box.json(["inspect", (await imported("both.box")).digest])
    expect([manifest.disks[0].name, manifest.disks.length]).toEqual(["disk1", 1])
    const bad = (name: string, metadata: object | string, ...words: readonly string[]) =>
      boxed(name, metadata, "box.img").then((file) =>
        box.fails(["import", file, "-t", "bad:1"], "OVM_DISK_INVALID", [file, "metadata.json", ...words]),
      )
    await bad("vmware.box", { provider: "vmware_desktop" }, "/provider", "libvirt and VirtualBox")
    await bad("text.box", "provider: libvirt", "is not JSON")
    await bad("list.box", [one], "is no object")
    await bad("disks.box", { ...one, disks: {} }, "/disks: ")
    const pathed = (...paths: readonly unknown[]) => ({ ...one, disks: paths.map((path) => ({ path })) })
    await bad("out.box", pathed("box.img", "/etc/passwd"), '/disks/1/path: "/etc/passwd"')
    await bad("twice.box", pathed("box.img", "box.img"), "/disks/1/path")
    await bad("unnamed.box", pathed(1), "/disks/0/path: 1 ")
    await bad("lost.box", { ...one, disks: [{}] }, "/disks/0/path: nothing")
    await box.fails(
      ["import", await boxed("none.box", pathed(), "box.img"), "-t", "bad:1"],
      "OVM_DISK_INVALID",
      ["without disks"],
    )
    await box.fails(["import", await boxed("other.tgz", {}, "box.img"), "-t", "bad:1"], "OVM_DISK_INVALID", [
      "3 files",
      "hint: tar xf",
    ])
  })

  test("the image of a CD-ROM that boots as a disk is one; another is refused [OVMS-IMP-061]", async () => {
    const iso = Buffer.alloc(DISK_BYTES)
    iso.write("\x01CD001\x01", 32768, "latin1")
    await box.file("data.iso", iso)
    await box.fails(["import", "data.iso", "-t", "bad:1"], "OVM_UNSUPPORTED", ["data.iso", "CD-ROM"])
    iso.write("\xfa", 0, "latin1")
    iso.writeUInt16LE(0xaa55, 510)
    await box.file("boots.iso", iso)
    expect(await imported("boots.iso")).toMatchObject({ format: "raw", firmware: "bios" })
  })

  test("a containerDisk of KubeVirt's, from a layout, an archive and a registry [OVMS-IMP-062, OVMS-IMP-074]", async () => {
    const image = layout()
    const layer = run("tar", "cz", "--owner=107", "--group=107", "disk/fedora.qcow2")
    const folder = image.only(image.container([layer]))
    expect(await imported(folder)).toMatchObject({ digest, format: "qcow2" })
    run("tar", "cf", "image.tar", "-C", folder, ".")
    expect((await imported("image.tar")).digest).toBe(digest)
    await box.ok(["export", "m:1", "--format", "containerdisk", "-o", "out.tar"])
    expect((await imported("out.tar")).digest).toBe(digest)
    run("skopeo", "copy", "-q", "oci-archive:out.tar", "dir:copied")
    const [exported = ""] = JSON.parse(`${run("skopeo", "inspect", "dir:copied")}`).Layers as string[]
    const written = run("tar", "tvf", join("copied", exported.slice("sha256:".length)))
    expect(`${written}`).toMatch(/^dr-xr-xr-x 107\/107 .* disk\/\n-r--r----- 107\/107 .* disk\/disk.qcow2\n$/)
    if (registryMissing) return
    await using registry = await startRegistry()
    const name = `docker://${registry.host}/disks/fedora:43`
    run("skopeo", "copy", "-q", "--dest-tls-verify=false", `oci:${folder}:one`, name)
    expect((await box.json(["import", name, "-t", "m:1", "--plain-http"])).digest).toBe(digest)
  })

  test("a machine of Podman's, and an artifact with one disk [OVMS-IMP-063]", async () => {
    const podman = layout()
    const packed = zstdCompressSync(raw)
    const other = zstdCompressSync(Buffer.alloc(DISK_BYTES, 1))
    const entry = (disktype: string, architecture: string, bytes: Uint8Array) => {
      const title = { "org.opencontainers.image.title": `podman.${architecture}.${disktype}.zst` }
      const layers = [podman.blob("application/zstd", bytes, { annotations: title })]
      return podman.manifest(
        { layers },
        { annotations: { disktype }, platform: { os: "linux", architecture } },
      )
    }
    const all = [
      entry("qemu", "arm64", other),
      entry("hyperv", "x86_64", other),
      entry("qemu", "x86_64", packed),
    ]
    expect((await imported(podman.only(podman.index(all)))).digest).toBe(digest)
    const plain = layout()
    const one = plain.blob("application/x-qemu-disk", await readFile(box.path("disk.qcow2")))
    const artifactType = "application/vnd.example.disk"
    expect((await imported(plain.only(plain.manifest({ artifactType, layers: [one] })))).digest).toBe(digest)
    plain.only(plain.manifest({ artifactType, layers: [one, one] }))
    await box.fails(["import", plain.root, "-t", "bad:1"], "OVM_ARTIFACT_INVALID", ["2 layers", artifactType])
    plain.only(plain.index([{ ...one, platform: { os: "linux", architecture: "s390x" } }]))
    await box.fails(["import", plain.root, "-t", "bad:1"], "OVM_UNSUPPORTED", ["linux/amd64"])
    const wrong = { ...one, digest: `sha256:${"0".repeat(64)}` }
    plain.only(plain.manifest({ artifactType, layers: [wrong] }))
    await box.fails(["import", plain.root, "-t", "bad:1"], "OVM_CONTENT_MISSING", [wrong.digest])
    await box.fails(["import", "nowhere.example", "-t", "bad:1"], "OVM_FILE_UNREADABLE", ["nowhere.example"])
  })

  test("a machine of KubeVirt's, with its disks in the order in which it has them [OVMS-IMP-064, OVMS-IMP-065, OVMS-IMP-066, OVMS-IMP-075]", async () => {
    const image = layout()
    const second = Buffer.alloc(DISK_BYTES, "tools")
    const disk = (name: string, bytes: Uint8Array) =>
      image.blob("application/vnd.kubevirt.disk.raw+zstd", zstdCompressSync(bytes), {
        annotations: { "io.kubevirt.disk.name": name, "io.kubevirt.pvc.capacity": "1Mi" },
      })
    const vm = (domain: object) => ({
      kind: "VirtualMachine",
      metadata: { name: "vm", annotations: { note: "Grüße, 🙂" } },
      spec: {
        template: { spec: { domain, volumes: [{ name: "tools" }, { name: "root" }, { name: "init" }] } },
      },
    })
    const machine = (config: object) => {
      const artifactType = "application/vnd.kubevirt.virtualmachine.v1"
      const manifest = image.manifest({
        artifactType,
        config: image.blob("application/vnd.kubevirt.virtualmachine.config.v1+json", config),
        layers: [disk("tools", second), disk("root", raw)],
      })
      return image.only(
        image.index([{ ...manifest, platform: { os: "linux", architecture: "amd64" } }], { artifactType }),
      )
    }
    const domain = {
      cpu: { cores: 2, sockets: 2 },
      memory: { guest: "1Gi" },
      firmware: { bootloader: { efi: { secureBoot: true } } },
      devices: {
        disks: [
          { name: "tools", cdrom: {} },
          { name: "root", disk: {}, bootOrder: 1 },
        ],
        interfaces: [],
        tpm: { persistent: true },
      },
    }
    const { remarks, firmware } = await imported(machine(vm(domain)))
    expect(firmware).toBe("uefi")
    expect(remarks.join()).toContain("volume init has no layer")
    const found = await box.json(["inspect", "m:1"])
    expect(found.manifest).toMatchObject({
      resources: { vcpus: 4, memory: 2 ** 30 },
      network: [{ mode: "none" }],
      metadata: { platform: { uefi: true, secureBoot: true, tpm: true } },
      disks: [{ name: "disk1", readOnly: true }],
    })
    // And back, with its own fields.
    await box.ok(["export", "m:1", "--format", "kubevirt", "-o", "vm.tar"])
    const [index, [manifest, config]] = inArchive("vm.tar")
    expect(index).toMatchObject({ artifactType: "application/vnd.kubevirt.virtualmachine.v1" })
    expect(config).toEqual(vm(domain))
    const layers = manifest.layers as readonly { annotations: Record<string, string> }[]
    expect(layers.map(({ annotations }) => annotations)).toEqual(
      ["root", "tools"].map((name) => ({ "io.kubevirt.disk.name": name, "io.kubevirt.pvc.capacity": "1Mi" })),
    )
    await box.ok(["import", "vm.tar", "-t", "m:2"])
    expect((await box.json(["inspect", "m:2"])).manifest).toEqual({ ...found.manifest, name: "m" })
    // What is another way by now is put right, and nothing else.
    await box.ok(["import", "vm.tar", "-t", "m:2", "--memory", "2GiB", "--firmware", "bios"])
    await box.ok(["export", "m:2", "--format", "kubevirt", "-o", "vm.tar"])
    const [, [, now]] = inArchive("vm.tar")
    expect(now).toEqual(vm({ ...domain, memory: { guest: "2Gi" }, firmware: { bootloader: { bios: {} } } }))
    // One that never was such a machine.
    await box.ok(["import", "disk.raw", "-t", "own:1", "--memory", "2GiB", "--cpus", "3"])
    await box.ok(["export", "own:1", "--format", "kubevirt", "-o", "own.tar"])
    expect((await imported("own.tar")).firmware).toBe("bios")
    expect((await box.json(["inspect", "m:1"])).manifest).toMatchObject({
      resources: { vcpus: 3, memory: 2 ** 31 },
      network: [{ mode: "user" }],
    })
    machine(vm({ firmware: { kernelBoot: {} } }))
    await box.fails(["import", image.root, "-t", "bad:1"], "OVM_UNSUPPORTED", ["kernel"])
    machine({ kind: "VirtualMachine", spec: { template: { spec: { architecture: "arm64" } } } })
    await box.fails(["import", image.root, "-t", "bad:1"], "OVM_UNSUPPORTED", ["arm64"])
    for (const [where, wrong] of [
      ["cpu", { cpu: { cores: 256 } }],
      ["memory", { memory: { guest: "1G" } }],
    ] as const) {
      machine(vm(wrong))
      await box.fails(["import", image.root, "-t", "bad:1"], "OVM_UNSUPPORTED", [
        `spec.template.spec.domain.${where} is`,
      ])
    }
    await box.ok(["import", image.root, "-t", "m:2", "--memory", "1GiB"])
    const long = { annotations: { long: "x".repeat(32 * 4096) } }
    machine({ ...vm(domain), metadata: long })
    await box.fails(["import", image.root, "-t", "bad:1"], "OVM_TOO_LARGE", ["VirtualMachine"])
    machine({ kind: "Pod" })
    await box.fails(["import", image.root, "-t", "bad:1"], "OVM_ARTIFACT_INVALID", ["VirtualMachine"])
    expect(readdirSync(join(box.home, "importing"))).toEqual([])
  })
})
