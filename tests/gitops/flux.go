package main

import (
	"fmt"

	"github.com/google/cel-go/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// HealthCheckExpr is one of a Flux Kustomization's healthCheckExprs.
type HealthCheckExpr struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Current    string `json:"current"`
	InProgress string `json:"inProgress"`
	Failed     string `json:"failed"`
}

// fluxStatus is what Flux goes by: the expressions for the object's kind, and without them what kstatus says.
//
// A generation that is not observed yet comes first; then, in this order, what is in progress, what failed, what is
// current; and in progress is also what none of them is true of.
func fluxStatus(exprs []HealthCheckExpr, object *unstructured.Unstructured, computed status.Status) (status.Status, error) {
	for _, expr := range exprs {
		if expr.APIVersion != object.GetAPIVersion() || expr.Kind != object.GetKind() {
			continue
		}
		observed, found, err := unstructured.NestedInt64(object.Object, "status", "observedGeneration")
		if err != nil {
			return "", err
		}
		if found && observed != object.GetGeneration() {
			return status.InProgressStatus, nil
		}
		for _, rule := range []struct {
			expr   string
			status status.Status
		}{
			{expr.InProgress, status.InProgressStatus},
			{expr.Failed, status.FailedStatus},
			{expr.Current, status.CurrentStatus},
		} {
			holds, err := holds(rule.expr, object.Object)
			if err != nil {
				return "", fmt.Errorf("%q: %w", rule.expr, err)
			}
			if holds {
				return rule.status, nil
			}
		}
		return status.InProgressStatus, nil
	}
	return computed, nil
}

// holds says whether the expression, with the object's fields as its variables, is true. No expression is not.
func holds(expr string, object map[string]any) (bool, error) {
	if expr == "" {
		return false, nil
	}
	env, err := cel.NewEnv(cel.CrossTypeNumericComparisons(true), cel.OptionalTypes())
	if err != nil {
		return false, err
	}
	// Flux doesn't check types either: it knows no schema.
	parsed, issues := env.Parse(expr)
	if err := issues.Err(); err != nil {
		return false, err
	}
	program, err := env.Program(parsed)
	if err != nil {
		return false, err
	}
	result, _, err := program.Eval(object)
	if err != nil {
		return false, err
	}
	is, ok := result.Value().(bool)
	if !ok {
		return false, fmt.Errorf("neither true nor false: %v", result)
	}
	return is, nil
}
