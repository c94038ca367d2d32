// Command gitops says what GitOps tools make of Kubernetes objects: kstatus, which Flux asks, a health check in Lua
// as Argo CD runs it, and CEL expressions as in a Flux Kustomization's healthCheckExprs.
//
// It reads one Request as JSON from standard input, and writes one Verdict for each object, in their order.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// Request is what is asked.
type Request struct {
	// Lua holds the health checks, by "group_Kind" as they are named in argocd-cm.
	Lua map[string]string `json:"lua"`
	// Exprs are the healthCheckExprs of a Flux Kustomization.
	Exprs []HealthCheckExpr `json:"exprs"`
	// Objects are complete, with their status.
	Objects []unstructured.Unstructured `json:"objects"`
}

// Verdict is what is said of one object.
type Verdict struct {
	// Kstatus is what kstatus says: Current, InProgress, Failed, Terminating.
	Kstatus string `json:"kstatus"`
	// Flux is the same, where an expression of the Kustomization does not say otherwise.
	Flux string `json:"flux"`
	// Argo is what the check in Lua says: Healthy, Progressing, Degraded, Suspended.
	Argo string `json:"argo"`
	// Message is what it says beside that.
	Message string `json:"message"`
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	var request Request
	if err := json.NewDecoder(in).Decode(&request); err != nil {
		return fmt.Errorf("the request: %w", err)
	}
	verdicts := make([]Verdict, 0, len(request.Objects))
	for i := range request.Objects {
		verdict, err := request.judge(&request.Objects[i])
		if err != nil {
			return fmt.Errorf("%s %s: %w", request.Objects[i].GetKind(), request.Objects[i].GetName(), err)
		}
		verdicts = append(verdicts, verdict)
	}
	return json.NewEncoder(out).Encode(verdicts)
}

func (request *Request) judge(object *unstructured.Unstructured) (Verdict, error) {
	computed, err := status.Compute(object)
	if err != nil {
		return Verdict{}, err
	}
	health, err := luaHealth(request.Lua[argoKey(object)], object)
	if err != nil {
		return Verdict{}, err
	}
	flux, err := fluxStatus(request.Exprs, object, computed.Status)
	if err != nil {
		return Verdict{}, err
	}
	return Verdict{
		Kstatus: computed.Status.String(),
		Flux:    flux.String(),
		Argo:    health.Status,
		Message: health.Message,
	}, nil
}
