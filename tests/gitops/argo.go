package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Argo CD gives a check one second.
const luaTimeout = time.Second

var argoStatuses = []string{"Healthy", "Progressing", "Degraded", "Suspended", "Missing", "Unknown"}

// argoHealth is what a check in Lua returns.
type argoHealth struct {
	Status  string
	Message string
}

// argoKey names the object's kind as the keys in argocd-cm do, behind "resource.customizations.health.".
func argoKey(object *unstructured.Unstructured) string {
	kind := object.GroupVersionKind()
	return kind.Group + "_" + kind.Kind
}

// luaHealth runs a check as Argo CD does where `useOpenLibs` is not set: the object is the global `obj`, and of Lua's
// libraries only the base and tables are there. An object that is being deleted never comes so far in Argo CD, which
// calls it Progressing itself.
func luaHealth(script string, object *unstructured.Unstructured) (*argoHealth, error) {
	if object.GetDeletionTimestamp() != nil {
		return &argoHealth{Status: "Progressing", Message: "Pending deletion"}, nil
	}
	if script == "" {
		return nil, fmt.Errorf("no health check for %s", argoKey(object))
	}
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable} {
		call := lua.P{Fn: state.NewFunction(open), Protect: true}
		if err := state.CallByParam(call, lua.LString(name)); err != nil {
			return nil, fmt.Errorf("Lua's library %q: %w", name, err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), luaTimeout)
	defer cancel()
	state.SetContext(ctx)
	state.SetGlobal("obj", toLua(state, object.Object))
	if err := state.DoString(script); err != nil {
		return nil, err
	}
	table, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return nil, errors.New("the check returns no table")
	}
	health := &argoHealth{
		Status:  lua.LVAsString(table.RawGetString("status")),
		Message: lua.LVAsString(table.RawGetString("message")),
	}
	if !slices.Contains(argoStatuses, health.Status) {
		return nil, fmt.Errorf("Argo CD knows no health %q", health.Status)
	}
	return health, nil
}

func toLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case map[string]any:
		table := state.CreateTable(0, len(value))
		for key, item := range value {
			table.RawSetString(key, toLua(state, item))
		}
		return table
	case []any:
		table := state.CreateTable(len(value), 0)
		for _, item := range value {
			table.Append(toLua(state, item))
		}
		return table
	case string:
		return lua.LString(value)
	case bool:
		return lua.LBool(value)
	case int64:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	default:
		return lua.LNil
	}
}
