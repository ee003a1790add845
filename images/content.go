package images

import (
	"context"
	"fmt"
	"maps"
	"slices"
)

// content makes what goes into a layer.
func (b *builder) content(ctx context.Context, j *job, l *PlannedLayer) (*layerContent, error) {
	switch {
	case l.layer == nil:
		t, err := manifestsTree(ctx, j.Recipe)
		return treeContent(t, nil, err)
	case l.layer.Go != nil:
		return b.goContent(j, l)
	case l.layer.Debian != nil:
		return b.debianContent(ctx, j, l)
	case l.layer.Files != nil:
		t, err := filesTree(ctx, j.Recipe, l.layer.Files)
		return treeContent(t, nil, err)
	case l.layer.ModuleFiles != nil:
		dir, err := b.moduleDir(ctx, l.layer.ModuleFiles.Module, l.layer.ModuleFiles.Version)
		if err != nil {
			return nil, err
		}
		t, err := moduleFilesTree(ctx, dir, l.layer.ModuleFiles)
		return treeContent(t, nil, err)
	case l.layer.C != nil:
		program, err := b.compileC(ctx, j.Recipe, l.layer.C)
		if err != nil {
			return nil, err
		}
		t, err := programsTree(map[string]string{l.layer.C.Program: program})
		return treeContent(t, nil, err)
	default:
		return b.selfContent(l.layer.Self)
	}
}

func treeContent(t tree, packages []Package, err error) (*layerContent, error) {
	if err != nil {
		return nil, err
	}
	t.addParents()
	return &layerContent{write: t.write, packages: packages}, nil
}

func (b *builder) goContent(j *job, l *PlannedLayer) (*layerContent, error) {
	programs, err := b.programs(j.Name(), l.layer.Go, b.groups[cacheKey(l.build)])
	if err != nil {
		return nil, err
	}
	packages, err := goPackages(slices.Collect(maps.Values(programs)))
	if err != nil {
		return nil, err
	}
	t, err := programsTree(programs)
	return treeContent(t, packages, err)
}

func (b *builder) debianContent(ctx context.Context, j *job, l *PlannedLayer) (*layerContent, error) {
	root, err := b.rootfs(ctx, j.Name(), l.layer.Debian, l.debian)
	if err != nil {
		return nil, err
	}
	t, err := openDebianTar(ctx, root, l.layer.Debian.Remove)
	if err != nil {
		return nil, err
	}
	return &layerContent{write: t.write, close: t.Close, packages: debPackages(l.debian.Suite, l.debian.Closure)}, nil
}

// selfContent takes the slipway executable, if it is still the locked one.
func (b *builder) selfContent(l *SelfLayer) (*layerContent, error) {
	digest, err := fileDigest(b.opts.Self)
	if err != nil {
		return nil, fmt.Errorf("reading the slipway executable: %w", err)
	}
	if digest != b.lock.Self {
		return nil, &InputError{Input: "the slipway executable", Locked: b.lock.Self, Found: digest}
	}
	packages, err := goPackages([]string{b.opts.Self})
	if err != nil {
		return nil, err
	}
	t, err := programsTree(map[string]string{l.Program: b.opts.Self})
	return treeContent(t, packages, err)
}

// moduleDir returns the source of a module, after comparing its sum with the lock.
func (b *builder) moduleDir(ctx context.Context, path, version string) (string, error) {
	locked, err := b.lock.module(path, version)
	if err != nil {
		return "", err
	}
	found, err := b.goTool.download(ctx, []string{path + "@" + version})
	if err != nil {
		return "", err
	}
	if found[0].Sum != locked.Sum {
		return "", &InputError{Input: moduleInput(path, version), Locked: locked.Sum, Found: found[0].Sum}
	}
	return found[0].Dir, nil
}
