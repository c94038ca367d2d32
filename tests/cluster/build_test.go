package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// fakeBuilder builds a file with the program's name in it, and counts.
func fakeBuilder(t *testing.T, built *atomic.Int32) builder {
	return builder{
		folder:   filepath.Join(t.TempDir(), "cache"),
		programs: controlPlanePrograms(),
		compile: func(_ context.Context, p program, work, out string) error {
			built.Add(1)
			return os.WriteFile(out, []byte(p.name), 0o700)
		},
	}
}

func TestManyBuildersBuildOnce(t *testing.T) {
	var built atomic.Int32
	b := fakeBuilder(t, &built)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := b.build(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := int(built.Load()); got != len(b.programs) {
		t.Errorf("%d programs were built, want %d", got, len(b.programs))
	}
	for _, p := range b.programs {
		if content, err := os.ReadFile(b.path(p)); err != nil || string(content) != p.name {
			t.Errorf("%s: %q, %v", p.name, content, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(b.folder, ".build-*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestAChangedRecipeRebuildsOnlyItsProgram(t *testing.T) {
	var built atomic.Int32
	b := fakeBuilder(t, &built)
	if err := b.build(t.Context()); err != nil {
		t.Fatal(err)
	}
	built.Store(0)
	if err := b.build(t.Context()); err != nil || built.Load() != 0 {
		t.Fatalf("an unchanged recipe built %d programs, %v", built.Load(), err)
	}
	b.programs[1].ldflags = append([]string{"-X a.b=c"}, b.programs[1].ldflags...)
	if err := b.build(t.Context()); err != nil || built.Load() != 1 {
		t.Fatalf("one changed recipe built %d programs, %v", built.Load(), err)
	}
}

func TestAFailedBuildLeavesNothing(t *testing.T) {
	var built atomic.Int32
	b := fakeBuilder(t, &built)
	broken := errors.New("broken")
	compile := b.compile
	b.compile = func(ctx context.Context, p program, work, out string) error {
		if err := compile(ctx, p, work, out); err != nil {
			return err
		}
		return broken // with a whole program written
	}
	if err := b.build(t.Context()); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(b.folder)
	if err != nil || len(entries) != 1 || entries[0].Name() != lockName {
		t.Errorf("a failed build left %v, %v", entries, err)
	}
}

func TestAKilledBuildIsCleanedUpAndRepeated(t *testing.T) {
	var built atomic.Int32
	b := fakeBuilder(t, &built)
	leftover := filepath.Join(b.folder, ".build-123", "tmp")
	if err := os.MkdirAll(leftover, 0o700); err != nil {
		t.Fatal(err)
	}
	// The program was renamed, its stamp wasn't written.
	if err := os.WriteFile(b.path(b.programs[0]), nil, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := b.build(t.Context()); err != nil || int(built.Load()) != len(b.programs) {
		t.Fatalf("%d programs were built, %v", built.Load(), err)
	}
	if _, err := os.Stat(leftover); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the leftover is still there: %v", err)
	}
}

func TestWaitingForABuildCanBeCancelled(t *testing.T) {
	var built atomic.Int32
	b := fakeBuilder(t, &built)
	if err := os.MkdirAll(b.folder, 0o700); err != nil {
		t.Fatal(err)
	}
	held, err := tryLock(filepath.Join(b.folder, lockName))
	if err != nil || held == nil {
		t.Fatal(held, err)
	}
	defer held.unlock()
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	if err := b.build(ctx); !errors.Is(err, enough) || built.Load() != 0 {
		t.Errorf("%d programs were built, %v", built.Load(), err)
	}
}

func TestCompileErrorsSayWhatGoSaid(t *testing.T) {
	work := t.TempDir()
	p := program{name: "nothing", source: "./cmd/nothing"}
	err := compileWithGo(t.Context(), p, work, filepath.Join(work, p.name))
	if err == nil || !strings.Contains(err.Error(), "cmd/nothing") {
		t.Errorf("got %v", err)
	}
}

func TestGoOutputCountsModules(t *testing.T) {
	var output goOutput
	for _, part := range []string{"go: downloading a v1\ngo: down", "loading b v1\nsome", "thing\nelse"} {
		if _, err := output.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	if got := output.fetched(); got != " (2 modules fetched)" {
		t.Errorf("fetched: %q", got)
	}
	if got := output.tail(); got != "something\nelse" {
		t.Errorf("tail: %q", got)
	}
}

func TestStampsTellRecipesApart(t *testing.T) {
	seen := map[string]string{}
	all := append(controlPlanePrograms(), helmProgram(helmVersion), helmProgram(helm3Version))
	for _, p := range append(all, prometheusPrograms()...) {
		stamp, err := p.stamp()
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[stamp]; ok {
			t.Errorf("%s and %s have the same stamp", p.name, other)
		}
		seen[stamp] = p.name
	}
}

func TestAssetsOfAFolder(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"etcd", "kube-apiserver"} {
		if err := os.WriteFile(filepath.Join(folder, name), nil, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("KUBEBUILDER_ASSETS", folder)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	all := want{servers: true, controllerManager: true}
	if _, err := findAssets(t.Context(), all); err == nil || !strings.Contains(err.Error(), "no program kubectl in") {
		t.Errorf("the missing program should be named: %v", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "kubectl"), nil, 0o700); err != nil {
		t.Fatal(err)
	}
	found, err := findAssets(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	if found.controllerManager != "" || found.helm != nil || found.helm3 != nil || found.kubectl != filepath.Join(folder, "kubectl") {
		t.Errorf("got %+v", found)
	}
}
