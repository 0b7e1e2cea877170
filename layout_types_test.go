package aliquot

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"path"
	"strconv"
	"strings"
)

// typesOf type-checks a package without its tests, as far as our own packages
// go.
func typesOf(p pkg, loader *looseImporter) *types.Info {
	info := &types.Info{
		Types: map[ast.Expr]types.TypeAndValue{},
		Uses:  map[*ast.Ident]types.Object{},
	}
	loader.check(p, info)
	return info
}

// checkGlobals reports package variables that are assigned to after their
// declaration: a table may be a variable, a setting or a clock may not. What a
// method does to its receiver is not seen.
func checkGlobals(p pkg, info *types.Info, report reporter) {
	for _, f := range p.files {
		if f.isTest() || f.tree.Name.Name == "main" {
			continue
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			var targets []ast.Expr
			switch n := n.(type) {
			case *ast.AssignStmt:
				if n.Tok != token.DEFINE {
					targets = n.Lhs
				}
			case *ast.IncDecStmt:
				targets = []ast.Expr{n.X}
			}
			for _, target := range targets {
				id := root(target)
				if id == nil {
					continue
				}
				if v, ok := info.Uses[id].(*types.Var); ok && v.Pkg() != nil && v.Parent() == v.Pkg().Scope() {
					report(target.Pos(), "package variable %s changes after its declaration", id.Name)
				}
			}
			return true
		})
	}
}

// root is the variable that an assignment to target changes in place, or nil.
func root(target ast.Expr) *ast.Ident {
	for {
		switch t := target.(type) {
		case *ast.Ident:
			return t
		case *ast.IndexExpr:
			target = t.X
		case *ast.SelectorExpr:
			target = t.X
		case *ast.ParenExpr:
			target = t.X
		case *ast.StarExpr:
			target = t.X
		default:
			return nil
		}
	}
}

// looseImporter type-checks our own packages from their trees and takes every
// other package for an empty one: enough to know what is a map, and fast.
type looseImporter struct {
	all    []pkg
	loaded map[string]*types.Package
}

func newLooseImporter(all []pkg) *looseImporter {
	return &looseImporter{all: all, loaded: map[string]*types.Package{}}
}

// Import is types.Importer's.
func (l *looseImporter) Import(imported string) (*types.Package, error) {
	if done := l.loaded[imported]; done != nil {
		return done, nil
	}
	if own, ok := strings.CutPrefix(imported, module); ok {
		for _, p := range l.all {
			if p.dir == own {
				return l.check(p, nil), nil
			}
		}
		return nil, fmt.Errorf("no package %s", strconv.Quote(own))
	}
	empty := types.NewPackage(imported, path.Base(imported))
	empty.MarkComplete()
	l.loaded[imported] = empty
	return empty, nil
}

// check fills info as far as the types are known; errors are the compiler's
// concern.
func (l *looseImporter) check(p pkg, info *types.Info) *types.Package {
	config := types.Config{Importer: l, Error: func(error) {}, FakeImportC: true}
	var trees []*ast.File
	for _, f := range p.files {
		if !f.isTest() {
			trees = append(trees, f.tree)
		}
	}
	// The error repeats the first one given to config.Error.
	checked, _ := config.Check(module+p.dir, p.fset, trees, info)
	l.loaded[module+p.dir] = checked
	return checked
}
