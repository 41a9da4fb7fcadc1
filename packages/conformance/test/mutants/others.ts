import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"

/** Before the implementation does it. */
export function before(fault: string, [context = ""]: readonly string[]): void {
  if (fault === "knows no SOURCE_DATE_EPOCH") delete process.env.SOURCE_DATE_EPOCH
  if (fault === "knows no credentials") delete process.env.DOCKER_CONFIG
  const path = join(context, "Dockerfile")
  if (fault === "expands nothing" && existsSync(path))
    writeFileSync(path, readFileSync(path, "utf8").replace("hello ${WHO}", "hello $ {WHO}"))
  if (fault === "starts anew" && existsSync(path))
    writeFileSync(path, `${readFileSync(path, "utf8")}ENV GREETING=gone\n`)
}

/** After it was done. */
export function after(fault: string, verb: string, [folder = "", layout = ""]: readonly string[]): void {
  if (fault === "leaves keys to all" && verb === "key")
    for (const name of readdirSync(folder)) chmodSync(join(folder, name), 0o644)
  if (fault === "lists no snapshots that came along" && verb === "keep") {
    const index = JSON.parse(readFileSync(join(layout, "index.json"), "utf8"))
    index.manifests = index.manifests.filter(
      (one: { artifactType?: string }) => !one.artifactType?.includes("snapshot"),
    )
    writeFileSync(join(layout, "index.json"), JSON.stringify(index))
  }
  const path = "provenance.json"
  if (!existsSync(path)) return
  const said = JSON.parse(readFileSync(path, "utf8"))
  if (fault === "says where it packed") said.buildDefinition.externalParameters.folder = process.cwd()
  if (fault === "forgets the context") said.buildDefinition.resolvedDependencies.splice(1, 1)
  writeFileSync(path, JSON.stringify(said))
}

/** What is kept of credentials. */
export function secrets(): string {
  return readFileSync(join(process.env.DOCKER_CONFIG ?? "", "config.json"), "utf8")
}
