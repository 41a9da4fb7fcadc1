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
import { basename, dirname, join } from "node:path"
import { KERNEL, KERNEL_ARGS, machineMissing } from "@ovms/testkit/machines.ts"

// Version 2 of control groups, whatever this host has: in an emulated Linux of its own, which takes half a minute.

const CACHE = join(import.meta.dir, "../../../../../.cache")
const CPIO = join(CACHE, "deb/cpio/bin/cpio")
const BUSYBOX = join(CACHE, "deb/busybox-static/bin/busybox")
const LONGEST_MS = 240_000

/** Why there is none here; empty if there is. */
export const linuxMissing =
  (await machineMissing()) ||
  ([CPIO, BUSYBOX].every((path) => existsSync(path)) ? "" : "(skipped: make machine)")

/** A jailer puts another root in place of its own: of what the kernel unpacks only a bind allows that. */
const INIT = `#!/bin/busybox sh
/bin/busybox mkdir /root
/bin/busybox mount --bind / /root
cd /root
/bin/busybox mount -o move . /
exec /bin/busybox chroot . /bin/busybox sh /begin
`
const BEGIN = `/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
exec </dev/ttyS0 >/dev/ttyS0 2>&1
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t cgroup2 none /sys/fs/cgroup
cd /work && HOME=/tmp NO_COLOR=1 bun main.js
poweroff -f
`

/** Runs `script` there, which finds `programs` in /bin: what it says of each that has tried, by who that was. */
export async function triedInLinux(
  script: string,
  programs: readonly string[] = [],
): Promise<Map<string, Record<string, unknown>>> {
  const root = mkdtempSync(join(tmpdir(), "ovm-linux-v2-"))
  try {
    return await boot(root, await initrd(root, script, programs))
  } finally {
    rmSync(root, { recursive: true })
  }
}

/** This very program, and what runs it. */
async function initrd(root: string, script: string, programs: readonly string[]): Promise<string> {
  const files = join(root, "files")
  const put = (path: string, text: string) => writeFileSync(join(files, path), text)
  const copy = (from: string, to: string) => cpSync(from, join(files, to), { dereference: true })
  for (const name of ["bin", "dev", "etc", "proc", "run", "sys", "tmp", "work"])
    mkdirSync(join(files, name), { recursive: true })
  chmodSync(join(files, "tmp"), 0o1777)
  const libraries = execFileSync("ldd", [process.execPath], { encoding: "utf8" }).matchAll(/\/\S+/g)
  for (const [library] of libraries) {
    mkdirSync(join(files, dirname(library)), { recursive: true })
    copy(library, library)
  }
  copy(BUSYBOX, "bin/busybox")
  copy(process.execPath, "bin/bun")
  for (const program of programs) copy(program, join("bin", basename(program)))
  put("etc/passwd", "root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n")
  put("etc/group", "root:x:0:\nuser:x:1000:\n")
  put("begin", BEGIN)
  put("init", INIT)
  chmodSync(join(files, "init"), 0o755)
  const naming = { entry: "main.js" }
  const built = await Bun.build({
    ...{ entrypoints: [script], outdir: join(files, "work"), target: "bun", naming },
  })
  if (!built.success) throw new Error(built.logs.join("\n"))
  const image = join(root, "initrd")
  const pack = `find . | ${CPIO} --quiet -o -H newc -R 0:0 >${image}`
  execFileSync("sh", ["-c", pack], { cwd: files })
  return image
}

async function boot(root: string, image: string): Promise<Map<string, Record<string, unknown>>> {
  const log = join(root, "console")
  const machine = ["-M", "q35", "-accel", "tcg", "-cpu", "max", "-m", "1024"]
  const kernel = ["-kernel", KERNEL, "-initrd", image, "-append", KERNEL_ARGS]
  const qemu = spawn(
    "qemu-system-x86_64",
    [...machine, "-nographic", "-nic", "none", "-no-reboot", ...kernel],
    { stdio: ["ignore", openSync(log, "w"), "inherit"] },
  )
  const timer = setTimeout(() => qemu.kill("SIGKILL"), LONGEST_MS)
  await once(qemu, "close")
  clearTimeout(timer)
  const said = await Bun.file(log).text()
  const lines = [...said.matchAll(/TRIED (\w+) (\{.*\})\r?$/gm)]
  if (lines.length === 0) throw new Error(`it said nothing: ${said.slice(-2000)}`)
  return new Map(lines.map(([, who = "", told = ""]) => [who, JSON.parse(told)]))
}
