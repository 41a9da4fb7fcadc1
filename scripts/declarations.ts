// What source files declare, as TypeScript's own parser sees it: for tests that hold rules about it.
import ts from "typescript"

function parse(file: string, text: string): ts.SourceFile {
  return ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)
}

/**
 * Every function, method, constructor and type of one in a source text that takes more than `most` parameters, `this`
 * not counted: each as "FILE:LINE NAME(COUNT)". Parameters that are destructured count as one.
 */
export function wideFunctions(file: string, text: string, most: number): string[] {
  const source = parse(file, text)
  const found: string[] = []
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node)) {
      const count = node.parameters.filter(({ name }) => name.getText() !== "this").length
      const line = source.getLineAndCharacterOfPosition(node.getStart()).line + 1
      if (count > most) found.push(`${file}:${line} ${nameOf(node)}(${count})`)
    }
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

/** Its own name, or that of what it is the value or the type of. */
function nameOf(node: ts.SignatureDeclaration): string {
  if (ts.isConstructorDeclaration(node)) return "constructor"
  const { parent } = node
  const name = node.name ?? ("name" in parent ? (parent.name as ts.Node | undefined) : undefined)
  return name?.getText() ?? ""
}

/** Names that a source text declares and exports, each once. What it passes on from another module is not its own. */
export function exportedNames(file: string, text: string): string[] {
  const names = new Set<string>()
  for (const statement of parse(file, text).statements) {
    const exported =
      ts.canHaveModifiers(statement) &&
      ts.getModifiers(statement)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword)
    if (!exported) continue
    const declared = ts.isVariableStatement(statement) ? statement.declarationList.declarations : [statement]
    for (const declaration of declared)
      if ("name" in declaration && declaration.name) names.add((declaration.name as ts.Node).getText())
  }
  return [...names]
}
