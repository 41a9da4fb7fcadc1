import { afterAll, beforeAll, expect, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { isoImage } from "./iso.ts"
import { noCloudDisk } from "./nocloud.ts"

const ID = "6f1d2c3b-4a59-4687-9a0b-c1d2e3f40516"
const KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBase64 me@here"

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ovm-nocloud-"))
})
afterAll(() => rm(folder, { recursive: true }))

/** What isoinfo says of an image: a reader that is not ours. */
async function isoinfo(image: Uint8Array, ...args: string[]): Promise<string> {
  const path = join(folder, "disk.iso")
  await writeFile(path, image)
  const { status, stdout, stderr } = spawnSync("isoinfo", ["-i", path, ...args], { encoding: "utf8" })
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" })
  return stdout
}

test("is an image with a label that others can read, by both kinds of long names", async () => {
  const image = noCloudDisk(ID, { hostname: "web", sshKeys: [KEY], networkConfig: "version: 2\n" })
  const about = await isoinfo(image, "-d")
  expect(about).toContain("Volume id: cidata\n")
  expect(about).toContain("Joliet with UCS level 3 found")
  expect(about).toContain("Rock Ridge signatures version 1 found")
  for (const kind of ["-R", "-J"]) {
    const names = (await isoinfo(image, kind, "-f")).trim().split("\n").sort()
    expect(names).toEqual(["/meta-data", "/network-config", "/user-data"])
    expect(JSON.parse(await isoinfo(image, kind, "-x", "/meta-data"))).toEqual({
      "instance-id": ID,
      "local-hostname": "web",
      "public-keys": [KEY],
    })
    expect(await isoinfo(image, kind, "-x", "/network-config")).toBe("version: 2\n")
  }
})

// OVMS-FBC-003
test("documents of whoever starts it come as they are, whatever their size", async () => {
  for (const size of [0, 1, 2047, 2048, 2049, 100_000]) {
    const userData = "é#x\n".repeat(Math.ceil(size / 5)).slice(0, size)
    const image = noCloudDisk(ID, { userData, metaData: "instance-id: mine\n" })
    expect(image.length % 2048).toBe(0)
    expect(await isoinfo(image, "-R", "-x", "/user-data")).toBe(userData)
    expect(await isoinfo(image, "-J", "-x", "/meta-data")).toBe("instance-id: mine\n")
  }
})

test("of nothing but an instance there is a disk that is right and says next to nothing", async () => {
  const image = noCloudDisk(ID, {})
  expect(await isoinfo(image, "-R", "-x", "/user-data")).toBe("#cloud-config\n{}\n")
  expect(JSON.parse(await isoinfo(image, "-R", "-x", "/meta-data"))).toEqual({ "instance-id": ID })
  expect(noCloudDisk(ID, {})).toEqual(image)
})

test("what does not fit is refused, and not written wrong", () => {
  const files = (count: number, name: string) =>
    Array.from({ length: count }, (_, at) => ({ name: `${name}${at}`, content: new Uint8Array(1) }))
  expect(() => isoImage("x", files(1, "n".repeat(300)))).toThrow(RangeError)
  expect(() => isoImage("x", files(100, "name"))).toThrow(RangeError)
})

test("brings an agent, beside what it says of the user [OVMS-FBC-015, OVMS-FBC-016]", async () => {
  const image = noCloudDisk(ID, { user: "me", agent: true })
  const names = (await isoinfo(image, "-R", "-f")).trim().split("\n").sort()
  expect(names).toEqual([
    "/meta-data",
    "/ovm-agent",
    "/ovm-agent.openrc",
    "/ovm-agent.service",
    "/user-data",
    "/vendor-data",
  ])
  const vendor = await isoinfo(image, "-R", "-x", "/vendor-data")
  expect(vendor).toStartWith(
    'Content-Type: multipart/mixed; boundary="==ovm=="\nMIME-Version: 1.0\n\n--==ovm==\n',
  )
  expect(vendor).toContain(
    'Content-Type: text/cloud-config; charset="us-ascii"\n\n#cloud-config\n{"user":{"name":"me"}}\n',
  )
  expect(vendor).toContain('Content-Type: text/x-shellscript; charset="us-ascii"\n\n#!/bin/sh\n')
  expect(vendor).toEndWith("\n--==ovm==--\n")
})
