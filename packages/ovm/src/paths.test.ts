import { expect, spyOn, test } from "bun:test"
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
