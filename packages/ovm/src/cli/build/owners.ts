import { StreamInput } from "../../content/archive/input.ts"
import { readTar } from "../../content/archive/tar.ts"
import type { Call } from "../../content/interfaces.ts"
import { OvmError } from "../../errors.ts"
import type { Builder } from "./builder.ts"

/** Of /etc/passwd and its like, in bytes. */
const MOST = 4 << 20

/** The numbers of `USER[:GROUP]` in a guest; a user's group is their own unless said. Throws OVM_FILE_UNREADABLE. */
export async function ownerIn(
  builder: Builder,
  text: string,
  call: Call,
): Promise<{ readonly user: number; readonly group: number }> {
  const [name = "", group] = text.split(":")
  const account = await found(builder, { file: "/etc/passwd", name }, call)
  const user = numberOf(name) ?? number(account?.[2], `/etc/passwd: there is no user ${name}`)
  if (group !== undefined) {
    const named =
      numberOf(group) ??
      number(
        (await found(builder, { file: "/etc/group", name: group }, call))?.[2],
        `/etc/group: there is no group ${group}`,
      )
    return { user, group: named }
  }
  // As Docker has it: of a number the group is the same.
  return { user, group: numberOf(name) ?? number(account?.[3], `/etc/passwd: user ${name} has no group`) }
}

/** The fields of the line of that name; not looked for where it is a number. */
async function found(
  builder: Builder,
  { file, name }: { readonly file: string; readonly name: string },
  call: Call,
): Promise<readonly string[] | undefined> {
  if (numberOf(name) !== undefined) return undefined
  const input = new StreamInput(await builder.get(file, call))
  for await (const { size, content } of readTar(input, file)) {
    if (size > MOST) break
    const text = Buffer.concat(await Array.fromAsync(content())).toString()
    return text
      .split("\n")
      .map((line) => line.split(":"))
      .find(([first]) => first === name)
  }
  return undefined
}

function numberOf(text: string): number | undefined {
  return /^\d{1,10}$/.test(text) && Number(text) < 2 ** 32 ? Number(text) : undefined
}

function number(text: string | undefined, why: string): number {
  const found = text === undefined ? undefined : numberOf(text)
  if (found !== undefined) return found
  throw new OvmError("OVM_FILE_UNREADABLE", `${why} in the machine`)
}
