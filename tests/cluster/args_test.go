package main

import (
	"errors"
	"reflect"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		args []string
		want any
	}{
		{[]string{"build"}, buildArgs{}},
		{[]string{"build", "--helm"}, buildArgs{helm: true}},
		{[]string{"build", "--helm3"}, buildArgs{helm3: true}},
		{[]string{"start"}, startArgs{controllerManager: true}},
		{
			[]string{"start", "--no-controller-manager", "--until-signal", "--helm", "--helm3", "--dir", "d", "--audit-log=a"},
			startArgs{helm: true, helm3: true, dir: "d", auditLog: "a", untilSignal: true},
		},
		{[]string{"prometheus"}, prometheusArgs{}},
		{
			[]string{"start", "--node", "--image", "a", "--image=b"},
			startArgs{controllerManager: true, node: true, images: []string{"a", "b"}},
		},
		{[]string{"check-node"}, checkNodeArgs{}},
		{[]string{"sandbox", "--", "ls", "--helm"}, sandboxArgs{command: []string{"ls", "--helm"}}},
		{[]string{"--help"}, nil},
		{[]string{"start", "--help"}, nil},
	} {
		if got, err := parse(c.args); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("parse(%q) = %+v, %v; want %+v", c.args, got, err, c.want)
		}
	}
	for _, args := range [][]string{
		{}, {"stop"}, {"build", "--dir", "d"}, {"build", "helm"}, {"prometheus", "--helm"}, {"start", "--dir"}, {"start", "--wat"}, {"sandbox"}, {"check-node", "--helm"},
	} {
		if got, err := parse(args); !errors.Is(err, errUsage) {
			t.Errorf("parse(%q) = %+v, %v; want a usage error", args, got, err)
		}
	}
}
