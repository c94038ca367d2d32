package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const pollInterval = 50 * time.Millisecond

// waitFor asks again and again until the check passes, the process ends or the
// context does. The error explains itself with the process's log.
func waitFor(ctx context.Context, p *process, check func(context.Context) error) error {
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.over():
			log := p.obituary()
			if saysPortTaken(log) {
				return fmt.Errorf("%w: %s", errPortTaken, log)
			}
			return errors.New(log)
		case <-ctx.Done():
			return fmt.Errorf("%s: %w; the last check: %w\n%s", p.name, context.Cause(ctx), err, p.logTail())
		case <-time.After(pollInterval):
		}
	}
}

// readiness returns the check that tells that a process does its work.
func (cp *controlPlane) readiness(p *process) func(context.Context) error {
	switch p {
	case cp.etcd:
		return cp.etcdServes
	case cp.apiServer:
		return cp.apiServerServes
	case cp.controllerManager:
		return cp.controllersWork
	default:
		return cp.node.readiness(cp, p)
	}
}

// etcdServes makes sure that it is our etcd: another one may have the port.
func (cp *controlPlane) etcdServes(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, cp.etcdURL+"/v3/cluster/member/list", strings.NewReader("{}"))
	if err != nil {
		return err
	}
	content, err := cp.do(request)
	if err != nil {
		return err
	}
	var list struct{ Members []struct{ Name string } }
	if err := json.Unmarshal(content, &list); err != nil {
		return err
	}
	if len(list.Members) != 1 || list.Members[0].Name != cp.name {
		return fmt.Errorf("%s is another cluster's etcd", cp.etcdURL)
	}
	return nil
}

func (cp *controlPlane) apiServerServes(ctx context.Context) error {
	if err := cp.get(ctx, "/readyz"); err != nil {
		return err
	}
	return cp.get(ctx, "/api/v1/namespaces/default")
}

func (cp *controlPlane) controllersWork(ctx context.Context) error {
	return cp.get(ctx, "/api/v1/namespaces/default/serviceaccounts/default")
}

func (cp *controlPlane) get(ctx context.Context, path string) error {
	_, err := cp.read(ctx, path)
	return err
}

func (cp *controlPlane) read(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, cp.server+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+cp.id.admin)
	return cp.do(request)
}

func (cp *controlPlane) do(request *http.Request) ([]byte, error) {
	response, err := cp.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", request.URL, response.Status)
	}
	return content, nil
}
