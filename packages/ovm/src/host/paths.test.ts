import { expect, spyOn, test } from "bun:test"
import os from "node:os"
import { OvmError } from "../errors.ts"
import { paths } from "./paths.ts"

// OVMS-API-002
test("the socket is where everybody looks for it, for root and for others, unless told otherwise", () => {
  const env = { HOME: "/home/somebody", XDG_RUNTIME_DIR: "/run/user/1000" }
  const user = spyOn(process, "getuid")
  try {
    user.mockReturnValue(0)
    expect(paths(env).socket).toBe("/run/ovm/ovm.sock")
    user.mockReturnValue(1000)
    expect(paths(env).socket).toBe("/run/user/1000/ovm/ovm.sock")
    for (const id of [0, 1000]) {
      user.mockReturnValue(id)
      expect(paths({ ...env, OVM_HOME: "/srv/machines" }).socket).toBe("/srv/machines/ovm.sock")
    }
  } finally {
    user.mockRestore()
  }
})

test("nothing is kept relative to the folder that a command happens to be run in", () => {
  const user = spyOn(process, "getuid")
  const home = spyOn(os, "homedir")
  try {
    user.mockReturnValue(1000)
    home.mockReturnValue("/home/of-passwd")
    for (const HOME of [undefined, "", "relative/home"])
      expect(paths({ ...(HOME !== undefined && { HOME }), XDG_DATA_HOME: "data" })).toMatchObject({
        root: "/home/of-passwd/.local/share/ovm",
        link: "/home/of-passwd/.local/share/ovm/ovm.sock",
        policy: "/home/of-passwd/.config/ovm/policy.json",
      })
    home.mockImplementation(() => {
      throw new Error("ENOENT: no such file or directory, uv_os_homedir")
    })
    const { code, hint } = thrownBy(() => paths({}))
    expect([code, hint]).toEqual(["OVM_USAGE", expect.stringContaining("OVM_HOME")])
    expect(paths({ OVM_HOME: "/srv/machines" }).root).toBe("/srv/machines")
  } finally {
    user.mockRestore()
    home.mockRestore()
  }
})

function thrownBy(work: () => unknown): OvmError {
  try {
    work()
  } catch (thrown) {
    if (thrown instanceof OvmError) return thrown
    throw thrown
  }
  throw new Error("it went through")
}
