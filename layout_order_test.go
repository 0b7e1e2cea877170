package aliquot

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// orderComment, with a reason, allows a loop over a map in a pure package: on
// the loop's line or the line above.
const orderComment = "map order:"

// checkMapOrder reports loops over maps whose order could reach a result.
//
// Allowed are loops that only collect keys or values into a slice which the
// same function sorts, loops that only store under the loop's own key or
// delete, and loops with a comment "map order: reason". Foreign packages and
// the standard library are not type-checked, so a map that comes from them is
// not seen; none of those allowed in pure packages returns one.
func checkMapOrder(p pkg, info *types.Info, report reporter) {
	for _, f := range p.files {
		if f.isTest() {
			continue
		}
		excused := map[int]bool{}
		for _, group := range f.tree.Comments {
			if strings.Contains(group.Text(), orderComment) {
				excused[p.fset.Position(group.End()).Line] = true
			}
		}
		for _, declaration := range f.tree.Decls {
			ast.Inspect(declaration, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.RangeStmt:
					line := p.fset.Position(n.Pos()).Line
					if excused[line] || excused[line-1] || !isMap(info.TypeOf(n.X)) {
						return true
					}
					if harmless(n) || sortedLater(n, declaration) {
						return true
					}
					report(n.Pos(), "pure package ranges over a map: sort the keys, or say why in a comment %q", orderComment)
				case *ast.CallExpr:
					// slices.Sorted(maps.Keys(m)) is looked at from outside.
					if called(n, "slices", "Sorted", "SortedFunc", "SortedStableFunc") {
						return false
					}
					if called(n, "maps", "Keys", "Values", "All") {
						report(n.Pos(), "pure package iterates over a map unsorted")
					}
				}
				return true
			})
		}
	}
}

func isMap(t types.Type) bool {
	if t == nil {
		return false
	}
	_, ok := t.Underlying().(*types.Map)
	return ok
}

// harmless says whether every iteration touches only what its own key names.
func harmless(loop *ast.RangeStmt) bool {
	key, ok := loop.Key.(*ast.Ident)
	if !ok {
		return loop.Key == nil
	}
	for _, statement := range loop.Body.List {
		switch s := statement.(type) {
		case *ast.AssignStmt:
			if s.Tok != token.ASSIGN || len(s.Lhs) != 1 {
				return false
			}
			index, ok := s.Lhs[0].(*ast.IndexExpr)
			if !ok || !isIdent(index.Index, key.Name) {
				return false
			}
		case *ast.ExprStmt:
			call, ok := s.X.(*ast.CallExpr)
			if !ok || !isIdent(call.Fun, "delete") || len(call.Args) != 2 || !isIdent(call.Args[1], key.Name) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// sortedLater says whether the loop does nothing but append, perhaps under a
// condition, to one variable that the declaration sorts after it.
func sortedLater(loop *ast.RangeStmt, declaration ast.Decl) bool {
	target := appended(loop.Body)
	if target == "" {
		return false
	}
	sorted := false
	ast.Inspect(declaration, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if ok && call.Pos() > loop.End() && len(call.Args) > 0 && types.ExprString(call.Args[0]) == target {
			sorted = sorted || called(call, "slices", "Sort", "SortFunc", "SortStableFunc") ||
				called(call, "sort", "Slice", "SliceStable", "Strings")
		}
		return true
	})
	return sorted
}

// appended is what the block appends to, when it does nothing else.
func appended(block *ast.BlockStmt) string {
	if len(block.List) != 1 {
		return ""
	}
	switch s := block.List[0].(type) {
	case *ast.IfStmt:
		if s.Init == nil && s.Else == nil {
			return appended(s.Body)
		}
	case *ast.AssignStmt:
		if len(s.Lhs) != 1 || len(s.Rhs) != 1 {
			return ""
		}
		if call, ok := s.Rhs[0].(*ast.CallExpr); ok && isIdent(call.Fun, "append") {
			return types.ExprString(s.Lhs[0])
		}
	}
	return ""
}

func isIdent(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

// called says whether the call is one of the named functions of a package.
func called(call *ast.CallExpr, name string, functions ...string) bool {
	selector, ok := call.Fun.(*ast.SelectorExpr)
	return ok && isIdent(selector.X, name) && slices.Contains(functions, selector.Sel.Name)
}
