import { expect } from "bun:test"
import { existsSync } from "node:fs"
import { mkdir, rename, rm, symlink, writeFile } from "node:fs/promises"
import type { Sandbox } from "./sandbox.ts"

/** What a test of shares has on the host: `work`, `given` with links that lead out, and `outside`. */
export async function sharedFolders(box: Sandbox): Promise<void> {
  for (const name of ["work", "given", "outside"]) await mkdir(box.path(name))
  await writeFile(box.path("given/file"), "of the host\n")
  await writeFile(box.path("outside/secret"), "not for guests\n")
  await symlink(box.path("outside/secret"), box.path("given/link"))
  await symlink("../outside", box.path("given/up"))
}

/**
 * That no name and no link leads the guest `web` out of `work`, which it sees at `work` and has a `folder` in, nor of
 * what it sees at `/given` [OVMS-SHR-010]. `inside` runs a script in it.
 */
export async function nothingLeadsOut(
  box: Sandbox,
  inside: (script: string) => Promise<string>,
  work: string,
): Promise<void> {
  expect(await inside("cat /given/link; ls /given/up/; readlink /given/link")).not.toContain("not for guests")
  expect(await inside("cat /given/../../outside/secret /given/..//etc/layer")).toContain("second, on top")
  // A link that the guest makes is its own to resolve, and one that comes in between is followed by nobody.
  await inside(`ln -s ${box.path("outside")} ${work}/away`)
  expect(await inside(`cat ${work}/away/secret`)).toMatch(/No such file/)
  await symlink(box.path("outside"), box.path("work/planted"))
  const planted = await inside(`cat ${work}/planted/secret; echo x >${work}/planted/new`)
  expect(planted).not.toContain("not for guests")
  // Where a folder is that the guest stands in, the host puts a link.
  const script = `cd ${work}/folder; until cat secret 2>/dev/null || [ -e ${work}/over ]; do echo x >escaped; done; ls`
  const swap = box.ok(["exec", "web", "sh", "-c", script])
  for (let round = 0; round < 100; round++) {
    await rename(box.path("work/folder"), box.path("work/aside"))
    await symlink("../outside", box.path("work/folder"))
    await Bun.sleep(10)
    await rm(box.path("work/folder"))
    await rename(box.path("work/aside"), box.path("work/folder"))
  }
  await writeFile(box.path("work/over"), "")
  expect(await swap).not.toContain("not for guests")
  expect(existsSync(box.path("outside/escaped"))).toBe(false)
  expect(existsSync(box.path("outside/new"))).toBe(false)
}
