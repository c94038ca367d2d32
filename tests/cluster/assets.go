package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// Assets are the programs of a control plane.
type assets struct {
	folder            string
	etcd, apiServer   string
	controllerManager string // empty: there is none
	kubectl           string
	helm, helm3       *string     // nil: there is none
	node              *nodeAssets // nil: not asked for
}

// pause is the path of the program that holds a Pod's namespaces.
func (a assets) pause() *string {
	if a.node == nil {
		return nil
	}
	return &a.node.pause
}

// want says which programs a caller can't do without.
type want struct {
	servers, controllerManager, helm, helm3, node bool
}

// findAssets returns the programs, building what is missing. It never looks on
// PATH, where programs of any version may be.
func findAssets(ctx context.Context, want want) (assets, error) {
	found, err := findControlPlane(ctx, want)
	if err != nil {
		return assets{}, err
	}
	if want.node {
		if found.node, err = findNode(ctx); err != nil {
			return assets{}, err
		}
	}
	if found.helm, err = findHelm(ctx, helmVersion, want.helm); err != nil {
		return assets{}, err
	}
	if found.helm3, err = findHelm(ctx, helm3Version, want.helm3); err != nil {
		return assets{}, err
	}
	return found, nil
}

// findHelm returns the path of helm of that version, or nil if it isn't built
// and needn't be.
func findHelm(ctx context.Context, version string, needed bool) (*string, error) {
	helm, err := cacheBuilder(filepath.Join("helm", version), helmProgram(version))
	if err != nil {
		return nil, err
	}
	if needed {
		if err := helm.build(ctx); err != nil {
			return nil, err
		}
	}
	if missing, err := helm.missing(); err != nil || len(missing) > 0 {
		return nil, err
	}
	path := helm.path(helm.programs[0])
	return &path, nil
}

func findControlPlane(ctx context.Context, want want) (assets, error) {
	if folder := os.Getenv("KUBEBUILDER_ASSETS"); folder != "" {
		return assetsIn(folder, want)
	}
	var programs []program
	for _, p := range controlPlanePrograms() {
		switch p.name {
		case "etcd", "kube-apiserver":
			if !want.servers {
				continue
			}
		case "kube-controller-manager":
			if !want.controllerManager {
				continue
			}
		}
		programs = append(programs, p)
	}
	builder, err := cacheBuilder(filepath.Join("control-plane", kubernetesVersion), programs...)
	if err != nil {
		return assets{}, err
	}
	if err := builder.build(ctx); err != nil {
		return assets{}, err
	}
	return assetsIn(builder.folder, want)
}

// assetsIn takes the programs from a folder that holds them, as envtest does.
func assetsIn(folder string, want want) (assets, error) {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return assets{}, err
	}
	found := assets{folder: folder}
	for _, p := range []struct {
		name   string
		target *string
		needed bool
	}{
		{"etcd", &found.etcd, want.servers},
		{"kube-apiserver", &found.apiServer, want.servers},
		{"kubectl", &found.kubectl, true},
		{"kube-controller-manager", &found.controllerManager, false},
	} {
		path := filepath.Join(folder, p.name)
		info, err := os.Stat(path)
		switch {
		case err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0:
			*p.target = path
		case p.needed:
			return assets{}, fmt.Errorf("there is no program %s in %s", p.name, folder)
		}
	}
	return found, nil
}

func cacheBuilder(folder string, programs ...program) (builder, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return builder{}, err
	}
	return builder{
		folder:   filepath.Join(cache, "vaultsecret-operator", folder),
		programs: programs,
		compile:  compileWithGo,
	}, nil
}
