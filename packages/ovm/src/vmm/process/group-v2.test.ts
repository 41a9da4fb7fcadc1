import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { KERNEL, KERNEL_ARGS, machineMissing } from "@ovms/testkit/machines.ts"

// Version 2 of control groups, whatever this host has: in an emulated Linux of its own, which takes half a minute.
setDefaultTimeout(300_000)

const CACHE = join(import.meta.dir, "../../../../../.cache")
const CPIO = join(CACHE, "deb/cpio/bin/cpio")
const BUSYBOX = join(CACHE, "deb/busybox-static/bin/busybox")
const missing =
  (await machineMissing()) ||
  ([CPIO, BUSYBOX].every((path) => existsSync(path)) ? "" : "(skipped: make machine)")

const INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
exec </dev/ttyS0 >/dev/ttyS0 2>&1
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t cgroup2 none /sys/fs/cgroup
cd /work && HOME=/tmp NO_COLOR=1 bun main.js
poweroff -f
`

let root: string
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "ovm-group-"))
})
afterAll(() => rmSync(root, { recursive: true }))

/** This very program, and what runs it. */
async function initrd(): Promise<string> {
  const files = join(root, "files")
  const put = (path: string, text: string) => writeFileSync(join(files, path), text)
  const copy = (from: string, to: string) => cpSync(from, join(files, to), { dereference: true })
  for (const name of ["bin", "dev", "etc", "proc", "sys", "tmp", "work"])
    mkdirSync(join(files, name), { recursive: true })
  chmodSync(join(files, "tmp"), 0o1777)
  const libraries = execFileSync("ldd", [process.execPath], { encoding: "utf8" }).matchAll(/\/\S+/g)
  for (const [library] of libraries) {
    mkdirSync(join(files, dirname(library)), { recursive: true })
    copy(library, library)
  }
  copy(BUSYBOX, "bin/busybox")
  copy(process.execPath, "bin/bun")
  put("etc/passwd", "root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n")
  put("etc/group", "root:x:0:\nuser:x:1000:\n")
  put("init", INIT)
  chmodSync(join(files, "init"), 0o755)
  const entrypoints = [join(import.meta.dir, "group-v2.guest.testing.ts")]
  const naming = { entry: "main.js" }
  const { success } = await Bun.build({ entrypoints, outdir: join(files, "work"), target: "bun", naming })
  expect(success).toBe(true)
  const image = join(root, "initrd")
  const pack = `find . | ${CPIO} --quiet -o -H newc -R 0:0 >${image}`
  execFileSync("sh", ["-c", pack], { cwd: files })
  return image
}

/** What it says of each that tried. */
async function guest(): Promise<Map<string, Record<string, unknown>>> {
  const log = join(root, "console")
  const machine = ["-M", "q35", "-accel", "tcg", "-cpu", "max", "-m", "1024"]
  const boot = ["-kernel", KERNEL, "-initrd", await initrd(), "-append", KERNEL_ARGS]
  const qemu = spawn(
    "qemu-system-x86_64",
    [...machine, "-nographic", "-nic", "none", "-no-reboot", ...boot],
    {
      stdio: ["ignore", openSync(log, "w"), "inherit"],
    },
  )
  const timer = setTimeout(() => qemu.kill("SIGKILL"), 240_000)
  await once(qemu, "close")
  clearTimeout(timer)
  const lines = (await Bun.file(log).text()).matchAll(/TRIED (\w+) (\{.*\})\r?$/gm)
  return new Map(Array.from(lines, ([, who = "", said = ""]) => [who, JSON.parse(said)]))
}

// OVMS-API-291, OVMS-API-292, OVMS-API-293
test.skipIf(missing !== "")(`version 2: root's, delegated, and neither ${missing}`, async () => {
  const said = await guest()
  for (const [who, folder] of [
    ["root", "/sys/fs/cgroup/ovm"],
    ["delegated", "/sys/fs/cgroup/delegated"],
  ] as const) {
    const { share, ...facts } = said.get(who) ?? {}
    const bound = ["50000 100000", "5", String(64 << 20), "20"]
    const places = [{ version: 2, folder, controllers: ["cpu", "memory", "pids"] }]
    expect<unknown>({ who, ...facts }).toEqual({ who, places, alone: true, left: false, bound })
    expect(share).toBeLessThan(0.55)
    // A guest whose host is busy counts time that it did not have.
    expect(share).toBeGreaterThan(0.2)
  }
  expect(said.get("undelegated")).toMatchObject({ code: "OVM_UNSUPPORTED" })
  expect(String(said.get("undelegated")?.message)).toContain("none was delegated to it")
})
