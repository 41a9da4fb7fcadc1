import { access, readFile } from "node:fs/promises"
import { join } from "node:path"
import { must } from "../../check.ts"
import { inside, type Linux, output } from "./stage.ts"

/** Commands see what the first process sees, and that is no initial RAM disk any more. */
export async function rootOfItsDisk(linux: Linux): Promise<void> {
  const roots = await output(
    linux,
    "stat -c %d:%i / /proc/1/root/; awk '$2 == \"/\" { print $3 }' /proc/mounts",
  )
  const [own, first, ...types] = roots.split("\n")
  must(own === first, `commands have the root ${own}, and the first process has ${first}`)
  must(!/^(rootfs|tmpfs|ramfs)$/.test(types.at(-1) ?? "rootfs"), `the root is of the type ${types.at(-1)}`)
}

/** At a stop in order processes are told, what hears nothing is killed, and the machine powers off. */
export async function endsInOrder(linux: Linux, { work }: { readonly work: string }): Promise<void> {
  const { runtime, id } = linux
  // Whoever is told has a second, and its guest may have a small part of a processor: nothing is left to be done but a
  // word.
  const told =
    "exec 3>/srv/suite/own/told; trap 'echo told >&3; exit' TERM; : >/srv/suite/own/listens; sleep 600 & wait"
  const deaf = "trap '' TERM; sleep 600"
  const start = (script: string) => `setsid sh -c "${script}" </dev/null >/dev/null 2>&1 &`
  // A power button whose script tells nobody would be faster.
  await inside(linux, "rm -rf /etc/acpi/PWRF /etc/acpi/events")
  await inside(linux, `${start(told)} ${start(deaf)} sleep 0.3`)
  await runtime.until("a process of the guest listens to SIGTERM", () =>
    access(join(work, "listens")).then(
      () => true,
      () => false,
    ),
  )
  await runtime.ask("POST /stop", "", { body: { instance_id: id, grace_ms: 60_000 } })
  const { exit, stop_method } = await runtime.reaches(id, "stopped")
  must(exit?.reason === "guest-shutdown", `a Linux that was told to power off has ended by ${exit?.reason}`)
  must(stop_method !== "killed" && stop_method !== "ended", `the stop came to its end as ${stop_method}`)
  const said = await readFile(join(work, "told"), "utf8").catch(() => "")
  must(said === "told\n", "a process of the guest was not told by SIGTERM")
}
