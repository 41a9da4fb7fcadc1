import { lstat, readFile, stat } from "node:fs/promises"
import { dirname, join } from "node:path"
import { must } from "../../check.ts"
import { pathsBelow } from "../../subject/below.ts"
import type { Instance } from "../../subject/runtime.ts"
import { unique } from "../unique.ts"
import type { Plan } from "./plan.ts"
import { said } from "./said.ts"

// What a guest is told at its first boot, and who else can know it.

/** As many characters as make the size of a file, in its folder's list, a letter. */
const sized = (text: string, letter: string) => text.padEnd(letter.charCodeAt(0) - 1, "#").concat("\n")
/** What a runtime writes for itself is larger than this only where it is none of a guest's words. */
const MOST = 1 << 20

type Told = Instance & { readonly ssh?: { readonly user: string; readonly identity_file: string } }

/** Words that have the guest say a small file system: its folders whole, of its files the first sector of four. */
function dumps(from: number, whole: number, to: number): string {
  const all = Array.from({ length: to - from }, (_, at) => from + at)
  return all
    .filter((at) => at < whole || at % 4 === 0)
    .map((at) => `dump=${at}`)
    .join(" ")
}
const FILES = dumps(64, 128, 200)

/** What the guest read of a disk, by sector. */
function sectors(text: string): readonly string[] {
  return [...text.matchAll(/DUMP \d+ \[(.*?)\]\r\n/gs)].map(([, content = ""]) =>
    content.replaceAll("\r\n", "\n"),
  )
}

/** A name by Rock Ridge, in its entry NM, and by Joliet, in characters of two bytes; what is no text is a dot. */
function named(disk: string, ...names: readonly string[]): void {
  for (const name of names) {
    must(disk.includes(`..${name}`) && /NM/.test(disk), `no file is called ${name} by Rock Ridge`)
    must(disk.includes([...name].join(".")), `no file is called ${name} by Joliet`)
  }
}

/** A member of a document that is JSON or YAML of one line a member. */
const member = (name: string, value: string) => new RegExp(`["']?${name}["']?\\s*:\\s*["']?${value}\\b`)

/** Files of a runtime, its log among them, that hold these words. */
async function holding(home: string, words: string): Promise<{ path: string; mode: number }[]> {
  const found = []
  for (const name of await pathsBelow(home)) {
    const path = join(home, name)
    const stats = await lstat(path).catch(() => undefined)
    if (!stats?.isFile() || stats.size > MOST) continue
    const bytes = await readFile(path).catch(() => undefined)
    if (bytes?.includes(words)) found.push({ path: name, mode: stats.mode & 0o777 })
  }
  return found
}

/** What a machine was told is nobody else's while it is there, and gone with it. */
async function keptToItself(
  { runtime }: Parameters<Plan["run"]>[0],
  id: string,
  secret: string,
): Promise<void> {
  must(
    !JSON.stringify(await runtime.status(id)).includes(secret),
    "what the machine was told is in its status",
  )
  if (!runtime.harness) return
  const home = dirname(runtime.harness.home)
  for (const { path, mode } of await holding(home, secret))
    must((mode & 0o077) === 0, `${path}, with what the machine was told, has the mode ${mode.toString(8)}`)
  await runtime.ask("DELETE /instances/{instance_id}", id, { query: "force=true" })
  const [left] = await holding(home, secret)
  must(left === undefined, `${left?.path} has what a machine was told that is gone`)
}

export const firstBootPlans: readonly Plan[] = [
  {
    name: "first-boot-disk",
    covers: ["OVMS-FBC-001", "OVMS-FBC-002", "OVMS-FBC-003", "OVMS-FBC-006"],
    async run(scene) {
      const secret = unique()
      const keys = ["ssh-ed25519", "ecdsa-sha2-nistp256"].map(
        (kind) => `${kind} AAAAC3NzaC1lZDI1NTE5AAAAIFsuitesuitesuitesuitesuitesuitesuitesuitesuit suite`,
      )
      const config = {
        hostname: "suite-host",
        sshKeys: keys,
        userData: sized(`#cloud-config\n# ${secret}\n`, "U"),
        networkConfig: sized("version: 2\n# as it is\n", "V"),
      }
      const { id, text } = await said(scene, scene.runtime.guest, FILES, { config })
      const found = sectors(text)
      const disk = found.join("")
      const begins = (words: string) => found.find((content) => content.startsWith(words))
      must(begins(config.userData) && disk.includes("U......U"), "there is no user-data as it was given")
      must(
        begins(config.networkConfig) && disk.includes("V......V"),
        "there is no network-config as it was given",
      )
      named(disk, "meta-data", "user-data", "network-config")
      const meta = found.find((content) => content.includes(id)) ?? ""
      must(member("instance-id", id).test(meta), "meta-data has not the instance's ID as instance-id")
      must(member("local-hostname", "suite-host").test(meta), "meta-data has no local-hostname")
      const list = /public-keys["']?\s*:\s*(\[[^\]]*\]|(?:\s*- [^\n]*)+)/.exec(meta)?.[1] ?? ""
      must(
        keys.every((key) => list.includes(key)),
        "meta-data has no list public-keys with each of them",
      )
      must(
        found.some((content) => content.includes("cidata")),
        "the volume has not the label cidata",
      )
      await keptToItself(scene, id, secret)
    },
  },
  {
    name: "key-for-ssh",
    covers: ["OVMS-FBC-003", "OVMS-FBC-006", "OVMS-FBC-008", "OVMS-FBC-009", "OVMS-FBC-010", "OVMS-FBC-011"],
    async run(scene) {
      const { runtime } = scene
      const overrides = { ssh: { user: "suite" } }
      const { id, text } = await said(scene, runtime.guest, FILES, overrides)
      const { ssh, network } = (await runtime.status(id)) as Told
      must(ssh?.user === "suite", `ssh is ${JSON.stringify(ssh)}`)
      const key = await readFile(ssh.identity_file, "utf8")
      must(key.startsWith("-----BEGIN OPENSSH PRIVATE KEY-----"), "the key is not in the format of OpenSSH")
      const bytes = Buffer.from(key.replace(/-----.*-----/g, ""), "base64")
      must(bytes.toString("latin1", 15, 19 + 4).includes("none"), "the key has a passphrase")
      must(((await stat(ssh.identity_file)).mode & 0o077) === 0, "others can read the key")
      must(
        network?.ports?.some(({ guest, host }) => guest === 22 && host > 0),
        "no port leads to the guest's port 22",
      )
      must(text.includes("ssh-ed25519 "), "the guest is not told the public key")
      const at = bytes.indexOf("ssh-ed25519")
      const blob = bytes.subarray(at - 4, at + 11 + 4 + 32).toString("base64")
      must(text.replace(/\s/g, "").includes(blob), "the guest is told another key")
      tellsTheUser(text, "suite")
      await runtime.ask("POST /stop", "", { body: { instance_id: id, grace_ms: 0 } })
      await runtime.reaches(id, "stopped")
      await runtime.ask("POST /instances/{instance_id}/start", id)
      await runtime.reaches(id, "running")
      must((await readFile(ssh.identity_file, "utf8")) === key, "another key was made for its next start")
      await keptToItself(scene, id, key.slice(100, 160))
      const ports = [{ guest: 22 }]
      const other = await said(scene, runtime.guest, FILES, { ssh: {}, network: { ports } })
      const { ssh: login, network: own } = (await runtime.status(other.id)) as Told
      must(own?.ports?.length === 1, "a port leads to the guest's port 22 besides the one that was named")
      must(login?.user === "ovm", `ssh is ${JSON.stringify(login)} where no user was named`)
      tellsTheUser(other.text, "ovm")
    },
  },
  {
    name: "ignition",
    covers: ["OVMS-FBC-006", "OVMS-FBC-013"],
    async run(scene) {
      const secret = unique()
      const ignition = `{ "ignition": {"version":"3.4.0"}, "suite": "${secret}" }`
      const { id, text } = await said(scene, scene.runtime.guest, "fw_cfg=opt/com.coreos/config", {
        config: { ignition },
      })
      must(
        text.includes(`FW_CFG ${ignition.length} [${ignition}]`),
        "the guest does not have these very bytes as its file",
      )
      must(text.includes("DISK none"), "it has a disk as well")
      await keptToItself(scene, id, secret)
    },
  },
  {
    name: "agent-on-a-disk",
    profile: "agent",
    covers: ["OVMS-FBC-002", "OVMS-FBC-015", "OVMS-FBC-016"],
    async run(scene) {
      const metaData = "instance-id: of-the-suite\nown: as it is\n"
      const overrides = { agent: true, config: { metaData } }
      const { text } = await said(scene, scene.runtime.guest, FILES, overrides)
      const found = sectors(text)
      must(
        found.some((content) => content.startsWith(metaData)),
        "there is no meta-data as it was given",
      )
      must(
        found.some((content) => content.includes("multipart/mixed")),
        "vendor-data is no MIME message",
      )
      must(/text\/x-shellscript/.test(text), "vendor-data has no script")
      named(found.join(""), "ovm-agent", "vendor-data")
      must(
        found.some((content) => content.startsWith(".ELF")),
        "there is no agent on the disk",
      )
    },
  },
]

/** Two cloud-configs: that of the user asks for nothing. */
function tellsTheUser(text: string, user: string): void {
  const found = sectors(text)
  const configs = found.filter((content) => content.startsWith("#cloud-config"))
  named(found.join(""), "user-data", "vendor-data")
  must(
    configs.some((content) => /\buser["']?\s*:/.test(content) && member("name", user).test(content)),
    `vendor-data has no user whose name is ${user}`,
  )
  must(
    configs.some((content) => !/name/.test(content)),
    "user-data is no cloud-config that asks for nothing",
  )
}
