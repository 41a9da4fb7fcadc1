import { DockerfileParser, type Flag, type Instruction as Parsed } from "dockerfile-ast"
import type { Dockerfile, Instruction, Stage } from "./document.ts"
import { type BuildFault, buildError, Wrong } from "./faults.ts"
import { checkInstruction, SCRATCH } from "./instructions.ts"
import { joinLines } from "./lines.ts"

/** Of a Dockerfile, in bytes. */
export const DOCKERFILE_LIMIT = 1 << 20
const MOST_INSTRUCTIONS = 1000

/**
 * A Dockerfile's stages and what they consist of. Throws OVM_BUILD_INVALID with all that it has and that is not
 * supported, each with its line.
 */
export function readDockerfile(bytes: Uint8Array, path: string): Dockerfile {
  const text = textOf(bytes, path)
  const zero = text.indexOf("\0")
  if (zero >= 0)
    throw buildError(path, [{ line: text.slice(0, zero).split("\n").length, message: "it has a zero byte" }])
  const parsed = DockerfileParser.parse(text)
  const mark = parsed.getEscapeCharacter()
  const faults = oddEnds(text, mark)
  const all = parsed.getInstructions().slice(0, MOST_INSTRUCTIONS + 1)
  if (all.length > MOST_INSTRUCTIONS)
    throw buildError(path, [{ line: 1, message: `it has more than ${MOST_INSTRUCTIONS} instructions` }])
  const args: Instruction[] = []
  const stages: (Stage & { readonly instructions: Instruction[] })[] = []
  for (const one of all) {
    const instruction = instructionOf(one, mark)
    const stage = stages.at(-1)
    try {
      checkInstruction(instruction)
      if (instruction.keyword === "FROM") stages.push({ ...stageOf(instruction), instructions: [] })
      else if (stage) stage.instructions.push(instruction)
      else if (instruction.keyword === "ARG") args.push(instruction)
      else throw new Wrong(`${instruction.keyword} stands before the first FROM`)
    } catch (thrown) {
      if (!(thrown instanceof Wrong)) throw thrown
      faults.push({ line: instruction.line, message: thrown.message })
    }
  }
  if (faults.length === 0 && stages.length === 0)
    faults.push({ line: 1, message: "it has no FROM, by which it would begin" })
  if (faults.length > 0) throw buildError(path, faults)
  return { path, mark, args, stages }
}

/** What Docker does not take for a line that goes on, and the parser does. */
function oddEnds(text: string, mark: string): BuildFault[] {
  return text.split(/\r?\n/).flatMap((line, at) => {
    const odd = line.trimEnd().endsWith(mark + mark) && !line.trimStart().startsWith("#")
    return odd ? [{ line: at + 1, message: `a line that ends in ${mark}${mark} is not supported` }] : []
  })
}

function textOf(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes)
  } catch (cause) {
    throw buildError(path, [{ line: 1, message: `it is no text in UTF-8: ${cause}` }])
  }
}

function instructionOf(parsed: Parsed, mark: string): Instruction {
  const options: Flag[] = "getFlags" in parsed ? (parsed.getFlags as () => Flag[])() : []
  const flags = options.map((flag) => /^--([^=]*)=?(.*)$/s.exec(`${flag}`) ?? ["", `${flag}`, ""])
  return {
    line: parsed.getRange().start.line + 1,
    keyword: parsed.getKeyword().toUpperCase(),
    flags: new Map(flags.map(([, name = "", value = ""]) => [name.toLowerCase(), value])),
    rest: joinLines(parsed.getRawArgumentsContent() ?? "", mark).trim(),
  }
}

function stageOf({ line, rest }: Instruction): Omit<Stage, "instructions"> {
  const [base = "", as, name, ...more] = rest.split(/\s+/)
  if (base === "") throw new Wrong("FROM names no image")
  if (as === undefined) return { line, base }
  if (as.toLowerCase() !== "as" || name === undefined || more.length > 0)
    throw new Wrong("FROM is `FROM IMAGE` or `FROM IMAGE AS NAME`")
  if (!/^[a-z][a-z0-9_.-]*$/i.test(name) || name.toLowerCase() === SCRATCH)
    throw new Wrong(`${JSON.stringify(name)} is no name of a stage`)
  return { line, base, name: name.toLowerCase() }
}
