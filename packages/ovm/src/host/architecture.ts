/** This host's architecture in the words of OCI. */
export function hostArchitecture(): string {
  return process.arch === "x64" ? "amd64" : process.arch
}
