// argohealth runs a health script as Argo CD does (util/lua of Argo CD 3): the same interpreter, the same few libraries,
// the object as the global obj, a second to answer. The script is the argument; one JSON object a line from standard
// input, one line of JSON each.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	lua "github.com/yuin/gopher-lua"

	"schema-operator.dev/gitops/lines"
)

// What Argo CD knows; anything else it shows as Unknown.
var known = map[string]bool{
	"Healthy": true, "Progressing": true, "Degraded": true, "Suspended": true, "Missing": true, "Unknown": true,
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: argohealth SCRIPT < OBJECTS")
		os.Exit(2)
	}
	script, err := os.ReadFile(os.Args[1])
	if err == nil {
		judge := func(object map[string]any) (lines.Verdict, error) { return health(string(script), object) }
		err = lines.Each(os.Stdin, os.Stdout, judge)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func health(script string, object map[string]any) (lines.Verdict, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	// Argo CD opens a cut-down os as well. Scripts of ours have no use for a clock, so there is none.
	for _, library := range []struct {
		name string
		open lua.LGFunction
	}{{lua.LoadLibName, lua.OpenPackage}, {lua.BaseLibName, lua.OpenBase}, {lua.TabLibName, lua.OpenTable}} {
		call := lua.P{Fn: state.NewFunction(library.open), Protect: true}
		if err := state.CallByParam(call, lua.LString(library.name)); err != nil {
			return lines.Verdict{}, err
		}
	}
	limit, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	state.SetContext(limit)
	state.SetGlobal("obj", value(state, object))
	if err := state.DoString(script); err != nil {
		return lines.Verdict{}, err
	}
	answer, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return lines.Verdict{}, errors.New("the script gave no table")
	}
	found := lines.Verdict{
		Status: lua.LVAsString(answer.RawGetString("status")), Message: lua.LVAsString(answer.RawGetString("message")),
	}
	if !known[found.Status] {
		return lines.Verdict{}, fmt.Errorf("the script gave the status %q", found.Status)
	}
	return found, nil
}

// value gives what a script sees of a JSON value: null is nil, so a field that is null is not there.
func value(state *lua.LState, of any) lua.LValue {
	switch it := of.(type) {
	case string:
		return lua.LString(it)
	case bool:
		return lua.LBool(it)
	case int64:
		return lua.LNumber(it)
	case float64:
		return lua.LNumber(it)
	case []any:
		list := state.CreateTable(len(it), 0)
		for _, item := range it {
			list.Append(value(state, item))
		}
		return list
	case map[string]any:
		table := state.CreateTable(0, len(it))
		for key, item := range it {
			table.RawSetString(key, value(state, item))
		}
		return table
	}
	return lua.LNil
}
