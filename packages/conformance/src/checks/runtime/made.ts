import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { isDeepStrictEqual } from "node:util"
import { guestArtifact } from "../../artifact/guest.ts"
import { writeLayout } from "../../artifact/layout.ts"
import { artifactOf } from "../../artifact/make.ts"
import { must } from "../../check.ts"
import { Registry } from "../../registry/server.ts"
import { pathsBelow } from "../../subject/below.ts"
import type { Instance } from "../../subject/runtime.ts"
import { harnessOf, type Plan, refusedCreate } from "./plan.ts"

// What a runtime says of a machine before that runs: instances are made, and none is started.

const MIB = 1 << 20

export const madePlans: readonly Plan[] = [
  {
    name: "resources",
    covers: ["OVMS-MAN-063", "OVMS-MAN-064", "OVMS-API-033", "OVMS-API-131"],
    async run({ runtime, create, machine }) {
      const resources = async (id: string) => (await runtime.status(id)).resources
      const plain = await machine({ document: { resources: undefined } })
      const asked = await machine({ document: { resources: { vcpus: 2, memory: 48 * MIB } } })
      const cases = [
        [await create({}, plain), 1, 512 * MIB],
        [await create({}, asked), 2, 48 * MIB],
        [await create({ vcpus: 1, memory: 64 * MIB }, asked), 1, 64 * MIB],
      ] as const
      for (const [id, vcpus, memory] of cases) {
        const found = await resources(id)
        must(found.vcpus === vcpus, `the machine has ${found.vcpus} vCPUs, and not ${vcpus}`)
        must(found.memory === memory, `the machine has ${found.memory} bytes of RAM, and not ${memory}`)
      }
    },
  },
  {
    name: "paths",
    covers: ["OVMS-REF-010"],
    async run({ runtime, create, machine, folder }) {
      const layout = await machine({}, "1.0")
      const { digest, manifest, kernel } = guestArtifact()
      for (const path of [layout, `${layout}:1.0`]) {
        const { image } = await runtime.status(await create({}, path))
        must(image.digest === digest, `the image of ${path} is ${image.digest}, and not ${digest}`)
      }
      await writeFile(join(folder, "manifest.json"), manifest)
      await writeFile(join(folder, "some-kernel"), kernel)
      await create({}, join(folder, "manifest.json"))
    },
  },
  {
    name: "blobs-elsewhere",
    covers: ["OVMS-REF-011"],
    async run({ runtime, machine, folder }) {
      // There is such a kernel, one folder further.
      await machine({})
      await writeFile(join(folder, "manifest.json"), guestArtifact(Buffer.alloc(8, 1)).manifest)
      await refusedCreate(runtime, "OVM_CONTENT_MISSING", { manifest: join(folder, "manifest.json") })
    },
  },
  {
    name: "archive",
    covers: ["OVMS-REF-012"],
    async run({ runtime, folder }) {
      const path = join(folder, "saved.tar")
      await writeFile(path, Buffer.alloc(10_240))
      await refusedCreate(
        runtime,
        /^OVM_(UNSUPPORTED|ARTIFACT_INVALID|ARCHIVE_INVALID|MANIFEST_INVALID|CONTENT_MISSING)$/,
        {
          manifest: path,
        },
      )
    },
  },
  {
    name: "title-that-climbs",
    covers: ["OVMS-OCI-040", "OVMS-OCI-008"],
    async run({ runtime, machine }) {
      const annotations = { "org.opencontainers.image.title": "../../climbed" }
      await refusedCreate(runtime, "OVM_ARTIFACT_INVALID", {
        manifest: await machine({ layer: { annotations } }),
      })
    },
  },
  {
    name: "title-of-a-file",
    covers: ["OVMS-OCI-041"],
    async run({ runtime, start, machine }) {
      const { home } = harnessOf(runtime)
      const title = `titled-${process.hrtime.bigint().toString(36)}`
      const annotations = { "org.opencontainers.image.title": title }
      const manifest = await machine({ layer: { annotations } })
      const id = await start({ manifest })
      await runtime.says(id, /GUEST-READY[^\n]*\n/)
      const named = (await pathsBelow(home)).filter((path) => path.includes(title))
      must(named.length === 0, `a title became the name of a file: ${named.join(", ")}`)
    },
  },
  {
    name: "not-fetched",
    covers: ["OVMS-API-171"],
    async run({ runtime }) {
      const registry = await Registry.start()
      try {
        await refusedCreate(runtime, /^OVM_(NAME_UNKNOWN|CONTENT_MISSING)$/, {
          manifest: registry.reference("1"),
        })
        must(
          registry.asked(/./, "/blobs/").length === 0,
          "it fetched content for an instance that is only made",
        )
      } finally {
        await registry.close()
      }
    },
  },
  {
    name: "resume-of-the-made",
    covers: ["OVMS-API-172"],
    async run({ runtime }) {
      const body = { manifest: runtime.guest, overrides: { resume: true } }
      await refusedCreate(runtime, "OVM_UNSUPPORTED", body)
    },
  },
  {
    name: "unknown-device",
    covers: ["OVMS-MAN-057", "OVMS-API-025", "OVMS-ERR-007"],
    async run({ runtime, machine }) {
      const devices = ["a", "b"].map((name) => ({ type: "nonsense", name: `thing-${name}` }))
      const error = await refusedCreate(runtime, "OVM_UNSUPPORTED", {
        manifest: await machine({ document: { devices } }),
      })
      must(Array.isArray(error.detail), "detail of OVM_UNSUPPORTED is no array")
      must(
        error.detail.length === 2,
        `detail has ${error.detail.length} entries, and not one for each device`,
      )
      must(
        /thing-a|\/devices\/0/.test(error.message),
        `the message does not name the device: ${error.message}`,
      )
    },
  },
  {
    name: "device-that-need-not-be",
    covers: ["OVMS-MAN-058", "OVMS-API-026"],
    async run({ runtime, machine, start }) {
      const devices = [{ type: "nonsense", name: "thing", required: false }]
      const id = await start({ manifest: await machine({ document: { devices } }) })
      const { warnings } = await runtime.reaches(id, "running")
      must(
        warnings.some((words) => /thing|nonsense/.test(words)),
        `no warning says that the device is missing: ${warnings.join("; ")}`,
      )
      await runtime.ask("POST /instances/{instance_id}/restart", id, { query: "grace_ms=0" })
      const again = (await runtime.reaches(id, "running")).warnings
      must(
        again.some((words) => /thing|nonsense/.test(words)),
        `in its next life no warning says it: ${again.join("; ")}`,
      )
    },
  },
  {
    name: "disk-sizes",
    covers: ["OVMS-API-271", "OVMS-API-272", "OVMS-ERR-003", "OVMS-ERR-007"],
    async run({ runtime, create, machine }) {
      const disk = await machine({ diskless: false })
      const { disks } = await runtime.status(await create({}, disk))
      must(isDeepStrictEqual(disks, [{ size: 1024, read_only: false }]), `disks is ${JSON.stringify(disks)}`)
      const larger = await runtime.status(await create({ diskSize: 1 << 20 }, disk))
      must(larger.disks?.[0]?.size === 1 << 20, "the disk does not have the size of the start")
      const smaller = await refusedCreate(runtime, "OVM_UNSUPPORTED", {
        manifest: disk,
        overrides: { diskSize: 512 },
      })
      const none = await refusedCreate(runtime, "OVM_UNSUPPORTED", {
        manifest: runtime.guest,
        overrides: { diskSize: 1 << 20 },
      })
      const readOnly = await refusedCreate(runtime, "OVM_UNSUPPORTED", {
        manifest: disk,
        overrides: { diskSize: 1 << 20, readOnly: true },
      })
      for (const { message, detail } of [smaller, none, readOnly]) {
        must(message.includes("diskSize"), `the message does not name diskSize: ${message}`)
        const named = Array.isArray(detail) && detail.some(({ pointer }) => /diskSize$/.test(pointer))
        must(named, `detail does not name diskSize: ${JSON.stringify(detail)}`)
      }
    },
  },
  {
    name: "arguments-without-a-kernel",
    covers: ["OVMS-API-034"],
    async run({ runtime, folder }) {
      const manifest = await writeLayout(join(folder, "kernelless"), artifactOf({ kernelless: true }))
      const { message } = await refusedCreate(runtime, "OVM_UNSUPPORTED", {
        manifest,
        overrides: { args: "x" },
      })
      must(message.includes("args"), `the message does not name args: ${message}`)
    },
  },
  {
    name: "uefi-of-no-program",
    profile: "uefi",
    covers: ["OVMS-UEF-002"],
    async run({ runtime, machine }) {
      const platform = { arch: "x86_64", uefi: true }
      const manifest = await machine({ document: { metadata: { platform } } })
      await refusedCreate(runtime, "OVM_UEFI_UNSUPPORTED", { manifest })
    },
  },
  {
    name: "first-boot-refusals",
    covers: ["OVMS-FBC-004", "OVMS-FBC-012"],
    async run({ runtime }) {
      const configs = [
        { metaData: "{}", hostname: "x" },
        { metaData: "{}", sshKeys: ["ssh-ed25519 AAAA"] },
        { ignition: "[]" },
        { ignition: "{}" },
        { ignition: '{"ignition": {"version": 3}}' },
        { ignition: '{"ignition": {"version": "3.4.0"}}', hostname: "x" },
      ]
      const withKey = [{ metaData: "{}" }, { ignition: '{"ignition": {"version": "3.4.0"}}' }]
      for (const overrides of [
        ...configs.map((config) => ({ config })),
        ...withKey.map((config) => ({ config, ssh: {} })),
      ])
        await refusedCreate(runtime, "OVM_REQUEST_INVALID", { manifest: runtime.guest, overrides })
    },
  },
  {
    name: "what-was-asked-for",
    covers: ["OVMS-API-182", "OVMS-API-183", "OVMS-API-184", "OVMS-API-461"],
    async run({ runtime, create }) {
      const said = async (overrides: object) => runtime.status(await create(overrides))
      const plain = await said({})
      for (const name of ["restart", "auto_remove", "command", "restarting_at", "restarts"] as const)
        must(plain[name] === undefined, `${name} is there although nobody asked for it`)
      must((await said({ restart: "on-failure:3" })).restart === "on-failure:3", "restart is not the policy")
      const gone = await said({ autoRemove: true, restart: "no" })
      must(gone.auto_remove === true, "auto_remove is not true")
      must(gone.restart === undefined, "restart is there although the policy is no")
      for (const restart of ["on-failure", "on-failure:3", "always", "unless-stopped"])
        await refusedCreate(runtime, "OVM_REQUEST_INVALID", {
          manifest: runtime.guest,
          overrides: { autoRemove: true, restart },
        })
    },
  },
  {
    name: "long-body",
    covers: ["OVMS-LIM-013"],
    async run({ runtime, create }) {
      const labels = Object.fromEntries(
        Array.from({ length: 15 }, (_, at) => [`label${at}`, "x".repeat(4096)]),
      )
      const found = (await runtime.status(await create({ labels }))).labels
      must(isDeepStrictEqual(found, labels), "a body of 60 KiB did not come in whole")
    },
  },
  {
    name: "explain",
    covers: ["OVMS-API-472", "OVMS-API-470"],
    async run({ runtime, machine }) {
      const list = async () =>
        (await runtime.ask<{ instances: readonly Instance[] }>("GET /instances")).instances
      const before = (await list()).length
      const answer = await runtime.ask<{ vmms?: readonly { chosen: boolean }[] }>("POST /explain", "", {
        body: { manifest: runtime.guest },
      })
      must(answer.vmms && answer.vmms.length > 0, "it names no VMM")
      const chosen = answer.vmms.filter((one) => one.chosen).length
      must(chosen === 1, `of the VMMs ${chosen} would be taken for a machine that starts`)
      const devices = [{ type: "nonsense", name: "thing" }]
      const fatal = await runtime.ask<{ vmms: readonly { chosen: boolean }[] }>("POST /explain", "", {
        body: { manifest: await machine({ document: { devices } }) },
      })
      must(!fatal.vmms.some((one) => one.chosen), "a VMM would be taken for a machine that none can run")
      must((await list()).length <= before + 8, "it made instances")
      await runtime.refused("POST /explain", /^OVM_(?!INTERNAL)/, "", { body: { manifest: "/nowhere" } })
    },
  },
]
